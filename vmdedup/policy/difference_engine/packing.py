"""Patching and compressing the pages that the clock found idle. Sections 4.3 and 4.4 of the paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vmdedup.host.absent import bring_back, kind_of
from vmdedup.host.frames import NO_FRAME, alloc_frame, get_frame, put_frame
from vmdedup.host.layout import COMPRESSED, FRAME_MASK, FRAME_SHIFT, PATCHED, HostArrays
from vmdedup.host.memory import Host
from vmdedup.host.rebuild import write_content
from vmdedup.policy.difference_engine.records import ACTION, CANDIDATES, COMPRESS, ENTRY, PATCH, Records
from vmdedup.policy.difference_engine.similar import offer_all
from vmdedup.policy.difference_engine.take import STORED, USED, USED_SINCE_BACK, hold_reference, keep_away, take_page
from vmdedup.policy.storage import Storage
from vmdedup.policy.stored import hold_kept, hold_stored, release_kept
from vmdedup.policy.work import Work
from vmdedup.subpage.compression import CODECS, compress
from vmdedup.subpage.delta import DELTAS, patch


@dataclass
class Page:
    """A page that is protected, its frame held: what is to become of it is being found out."""

    entry: int
    protected: int
    pfn: int
    content: bytes


class Packing:
    """Makes patches and compressed pages, and puts them into storage. done: how often each thing happened."""

    def __init__(self, host: Host, knobs: Mapping[str, int], work: Work) -> None:
        self._h = host.arrays
        self._knobs = knobs
        self._work = work
        self.storage = Storage(host)
        load_kernels(self._h)
        self.done = dict.fromkeys(("patched", "patch_too_large", "compressed", "compressed_too_large", "moved"), 0)

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
        page = self.take(entry)
        if page is None:
            return True
        for step in steps:
            if self._patch(page, candidates) if step == PATCH else self._compress(page):
                return True
        put_frame(self._h, page.pfn)
        return False

    def take(self, entry: int, brought_back: bool = False) -> Page | None:
        """Protect a page and read it. None: used since the last scan (since it was brought back), or shared."""
        unfit = USED_SINCE_BACK if brought_back else STORED if self._knobs["everything_c4"] else USED
        protected = int(take_page(self._h, entry, unfit))
        if not protected:
            return None
        pfn = (protected >> FRAME_SHIFT) & FRAME_MASK
        return Page(entry, protected, pfn, self._h.bytes[pfn].tobytes())

    # Patches

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
        if len(best) > self._knobs["patch_cut_off"] or not self.storage.put(page.entry, best):
            self.done["patch_too_large"] += len(best) > self._knobs["patch_cut_off"]
            put_frame(self._h, reference)
            return False
        # From here on it is the slot that counts the reference.
        self._h.slots[page.entry]["reference"] = reference
        self._h.slots[page.entry]["codec"] = kind
        self._keep(page, PATCHED, "patched")
        return True

    # Compressed pages

    def _compress(self, page: Page) -> bool:
        """Keep a page compressed. False: it cannot be compressed well, or there is no room."""
        codec = self._knobs["codec"]
        packed = compress(page.content, CODECS[codec])
        self._work.count("compress")
        if len(packed) > self._knobs["compress_cut_off"]:
            self.done["compressed_too_large"] += 1
            return False
        if not self.storage.put(page.entry, packed):
            return False
        self._h.slots[page.entry]["codec"] = codec
        self._keep(page, COMPRESSED, "compressed")
        return True

    def _keep(self, page: Page, kind: int, done: str) -> None:
        """Take the page away, unless its guest was faster."""
        if keep_away(self._h, page.entry, page.protected, kind):
            self.done[done] += 1
        else:
            self.storage.uncounted(page.entry)

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
        page = self.take(entry, True) if self.rebuild(entry) else None
        if page is not None and self.storage.put(entry, packed):
            self._keep(page, kind, "moved")
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
