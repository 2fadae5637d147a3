"""Our own policy for phones: work is done once, when an app goes to the background."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from vmdedup.host.layout import ANONYMOUS, BACKGROUND, FILES, FOREGROUND, GRAPHICS
from vmdedup.host.memory import Host
from vmdedup.ksm.sysfs import Tunable
from vmdedup.policy.mobile.areas import Area
from vmdedup.policy.mobile.base import MobilePolicy
from vmdedup.policy.mobile.packing import CODEC, LZO, WORDS
from vmdedup.policy.mobile.records import PORTION, ROUND, WRITTEN
from vmdedup.policy.mobile.similar import Bases
from vmdedup.policy.mobile.visit import ANY, LOOK, SHARE, UNUSED, visit_by_stores
from vmdedup.policy.mobile.watch import Watch, is_inherited, rank
from vmdedup.subpage.delta import CUT_OFF

IN_USE_PASSES: Final = 2  # passes over an app in the foreground in which its pages are only shared
PROBES: Final = 4  # blocks by which a page finds the zygote's page that it is like


class Background(MobilePolicy):
    """An event starts the work: an app went to the background or came from there, or another came to its place.

    Then two passes are made over the area. The first shares what is equal and clears the bits of use; the second takes
    every page whose SOFT bit is still clear: equal pages first, then pages of one word, then what is like a page of the
    zygote, and last what compresses. Where stores go on it comes again, after twice the time; where they do not, after
    eight times.

    Why it beats the others. They go round all memory for ever, and pay for a hash of every page in every round, two
    rounds before a page is touched; an app that has stood still for a minute is hashed as often as one in use. Here a
    page is hashed once in each of its lives: the SOFT bit, which hardware and kernel keep anyway, says that the hash
    still holds, so pages wait in the table for their equals, and need not be hashed again. Differences are made against
    the zygote's pages only, which every app has inherited and which outlive all apps. What an app has changed there
    stayed where it was, so words in the same place are compared; by the price list that costs a fiftieth of a
    difference that looks for what has moved. What is like no other page is compressed, which costs a tenth of such a
    difference; by LZO, whose pages take half a frame on average, so that two find room in one: of lz4's, a fifth
    larger, most take a frame of storage for themselves, and nothing is won. An app in the foreground gets the same
    passes, but its pages are only shared until they were unused for two: what is rebuilt at once pays nothing back.
    Graphics buffers are never looked at.

    When there is more to do than time for it, apps that have just been left come first, then what is in use, then
    files; and who had to wait for long gets both passes in one. So a slow scanner, too, gets to what it came for,
    without having been round all memory before.
    """

    name: ClassVar[str] = "background"
    source: ClassVar[str] = "this program; builds on exclusion in time and space, soft-dirty bits, Sparrow and zram"
    below_page: ClassVar[bool] = True
    tunables: ClassVar[Mapping[str, Tunable]] = {
        tunable.name: tunable
        for tunable in (
            Tunable("settle_millisecs", 500, "from an app's turn to the first pass, and to the second", "ms", low=1),
            Tunable("late_millisecs", 2000, "how late a pass begins for an app to get two in one", "ms", low=1),
            Tunable("longest_wait_millisecs", 60_000, "longest time between passes where stores go on", "ms", low=1),
            Tunable(
                "difference_cut_off", CUT_OFF, "largest difference that is kept; 0: none is made", "bytes", high=4096
            ),
            Tunable(
                "compress_cut_off", 3072, "largest compressed page that is kept; 0: none is made", "bytes", high=4096
            ),
            Tunable("codec", LZO, CODEC, high=2),
        )
    }

    def __init__(self, host: Host, seed: int = 0) -> None:
        super().__init__(host, seed)
        self._watched: dict[tuple[int, int], Watch] = {}
        self._bases = Bases(host, self.work, seed, PROBES)

    def exit(self, mm: int) -> None:
        """Its areas are not watched any more."""
        self._watched = {key: watch for key, watch in self._watched.items() if key[0] != mm}
        super().exit(mm)

    def _scan(self, pages: int) -> int:
        looked = 0
        for area, watch in self._due():
            if looked >= pages:
                break
            watch.late = watch.late or self.now_ms - watch.due_ms > self._knobs["late_millisecs"]
            while looked < pages and watch.due_ms <= self.now_ms:
                count = min(PORTION, pages - looked, area.pages - watch.at)
                self._visit(area, watch, area.first + watch.at, count)
                looked += count
                watch.at += count
                if watch.at >= area.pages:
                    self._end_pass(watch)
        return looked

    # When

    def _due(self) -> list[tuple[Area, Watch]]:
        """Areas whose next pass is due, the most urgent first."""
        found = []
        for area in self.areas():
            if area.kind == GRAPHICS:
                continue
            watch = self._watched.get(area.key)
            if watch is None or watch.turns != area.turns:
                self.work.count("hint")
                wait = self._knobs["settle_millisecs"]
                watch = self._watched[area.key] = Watch(area.turns, self.now_ms + wait, wait)
            if watch.due_ms <= self.now_ms:
                found.append((area, watch))
        return sorted(found, key=lambda pair: rank(*pair))

    def _end_pass(self, watch: Watch) -> None:
        watch.end_pass(self.now_ms, self._knobs["longest_wait_millisecs"])
        self._rounds += 1
        self._records.settings[ROUND] += 1

    # What

    def _visit(self, area: Area, watch: Watch, first: int, count: int) -> None:
        records = self._records
        before = int(records.found[WRITTEN])
        rows = int(visit_by_stores(self.host.arrays, records, first, count, 0, _mode(area, watch)))
        watch.written += int(records.found[WRITTEN]) - before
        packs = area.kind != FILES and self.host.page_size == 4096
        if rows and packs and (area.state != FOREGROUND or watch.passes >= IN_USE_PASSES):
            entries = records.todo[:rows].copy()
            records.misses[entries] = 1
            self._pack(area, entries.tolist())

    def _pack(self, area: Area, entries: list[int]) -> None:
        """Offer what every app has inherited as bases; keep other pages in another form."""
        differences = self._knobs["difference_cut_off"] > 0 and area.kind == ANONYMOUS
        if not differences:
            for entry in () if is_inherited(area) else entries:
                self._keep(entry, [])
            return
        for entry, signature in zip(entries, self._bases.sign(entries), strict=True):
            if is_inherited(area):
                self._bases.offer(entry, signature)
            else:
                self._keep(entry, self._bases.candidates(signature))

    def _keep(self, entry: int, candidates: list[int]) -> None:
        packing, knobs = self._packing, self._knobs
        cut_off = knobs["compress_cut_off"]
        page = packing.take_unused(entry)
        if page is None or packing.fill(page):
            return
        if any(packing.difference(page, base, knobs["difference_cut_off"], WORDS) for base in candidates):
            return
        if not cut_off or not packing.compress(page, cut_off, knobs["codec"]):
            packing.let_go(page)


def _mode(area: Area, watch: Watch) -> int:
    """How an area is visited in this pass."""
    if is_inherited(area) or (watch.late and area.state == BACKGROUND):
        return ANY
    if watch.passes:
        return UNUSED
    return LOOK if area.state == FOREGROUND else SHARE
