"""Patching and compressing the pages that the clock found idle. Sections 4.3 and 4.4 of the paper."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vmdedup.host.absent import bring_back, kind_of
from vmdedup.host.frames import NO_FRAME, alloc_frame, get_frame, put_frame
from vmdedup.host.layout import PATCHED, HostArrays
from vmdedup.host.memory import Host
from vmdedup.host.rebuild import write_content
from vmdedup.policy.difference_engine.records import ACTION, CANDIDATES, COMPRESS, ENTRY, PATCH, Records
from vmdedup.policy.difference_engine.similar import offer_all
from vmdedup.policy.difference_engine.take import STORED, USED, USED_SINCE_BACK, hold_reference, keep_away, take_page
from vmdedup.policy.packing import Packing, Page
from vmdedup.policy.stored import hold_kept, hold_stored, release_kept
from vmdedup.policy.work import Work
from vmdedup.subpage.delta import DELTAS, patch


class IdlePacking(Packing):
    """Makes patches and compressed pages of those that are idle, and back. done: how often each thing happened."""

    def __init__(self, host: Host, knobs: Mapping[str, int], work: Work) -> None:
        super().__init__(host, work, ("patched", "patch_too_large", "compressed", "compressed_too_large", "moved"))
        self._knobs = knobs
        load_kernels(self._h)

    def run(self, records: Records, rows: int) -> None:
        """Try what todo says. What comes to nothing is not tried again for a sharing cycle."""
        order = (COMPRESS, PATCH) if self._knobs["compress_before_patch"] else (PATCH, COMPRESS)
        failed: list[int] = []
        for row in records.todo[:rows].tolist():
            entry, action, similar = row[ENTRY], row[ACTION] & 0xFF, row[ACTION] >> 8
            if not self._try(entry, [step for step in order if action & step], row[CANDIDATES : CANDIDATES + similar]):
                failed.append(entry)
        if failed:
            entries = np.array(failed, np.int64)
            records.wait[entries] = self._knobs["hash_intervals"]
            if self._knobs["patching"]:
                offer_all(self._h, records, entries)

    def _try(self, entry: int, steps: list[int], candidates: list[int]) -> bool:
        """Whether the page is settled: kept in another form now, or just used by its guest."""
        page = self.take_idle(entry)
        if page is None:
            return True
        for step in steps:
            if self._patch(page, candidates) if step == PATCH else self._compress(page):
                return True
        put_frame(self._h, page.pfn)
        return False

    def take_idle(self, entry: int, brought_back: bool = False) -> Page | None:
        """Protect a page and read it. None: used since the last scan (since it was brought back), or shared."""
        return self.take(entry, USED_SINCE_BACK if brought_back else STORED if self._knobs["everything_c4"] else USED)

    def _patch(self, page: Page, candidates: list[int]) -> bool:
        """Keep a page as its best patch. False: there is none that is small enough, or no room."""
        best, reference, kind = b"", 0, self._knobs["delta"]
        for candidate in candidates:
            pfn = int(hold_reference(self._h, candidate, page.pfn))
            if pfn == 0:
                continue
            delta = patch(self._h.bytes[pfn].tobytes(), page.content, DELTAS[kind])
            self._work.count("patch")
            if not reference or len(delta) < len(best):
                best, pfn, reference = delta, reference, pfn
            put_frame(self._h, pfn)
        if not reference:
            return False
        return self.keep_patch(page, best, reference, kind, self._knobs["patch_cut_off"])

    def _compress(self, page: Page) -> bool:
        return self.keep_compressed(page, self._knobs["codec"], self._knobs["compress_cut_off"], "compressed_too_large")

    # Pages back

    def rebuild(self, entry: int) -> bool:
        """Make a patched or compressed page present again. False: its guest was faster, or no frame is left."""
        old = int(hold_kept(self._h, entry))
        if old == 0:
            return False
        kind = kind_of(old)
        fresh = int(alloc_frame(self._h, 0))
        done = fresh != NO_FRAME
        if done:
            write_content(self._h, entry, kind, self._h.words[fresh])
            self._work.count("bring_back")
            done = bool(bring_back(self._h, entry, old, fresh))
            if not done:
                put_frame(self._h, fresh)
        release_kept(self._h, entry, kind)
        return done

    def compact(self) -> None:
        """Empty frames of storage that hold little: what lies in them is put elsewhere."""
        share = self._knobs["compaction"]
        for entry in self.storage.retire_sparse(share * self._h.bytes.shape[1] // 100) if share else []:
            self._move(entry)

    def _move(self, entry: int) -> None:
        kind = kind_of(int(self._h.pte[entry]))
        slot = self._h.slots[entry]
        start, reference = int(slot["offset"]), int(slot["reference"])
        # Read before the page is rebuilt: that it could be rebuilt proves that its bytes were still there.
        packed = self._h.bytes[int(slot["frame"]), start : start + int(slot["length"])].tobytes()
        if kind == PATCHED and not get_frame(self._h, reference):
            return
        page = self.take_idle(entry, True) if self.rebuild(entry) else None
        if page is not None and self.storage.put(entry, packed):
            self.keep(page, kind, "moved")
            return
        if page is not None:
            put_frame(self._h, page.pfn)
        if kind == PATCHED:
            put_frame(self._h, reference)


def load_kernels(h: HostArrays) -> None:
    """Call what a run needs first in its middle, so that no pass waits for a compiler. Entry 0 is nobody's."""
    take_page(h, 0, 0)
    hold_reference(h, 0, 0)
    hold_kept(h, 0)
    hold_stored(h, 0, 0, 0)
    keep_away(h, 0, 0, 0)
    put_frame(h, 0)
