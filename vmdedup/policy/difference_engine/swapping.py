"""Swapping pages out, idle ones first, when host memory in use passes a mark. Section 4.5 of the paper."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.frames import put_frame
from vmdedup.host.layout import CTL_FRAMES, SWAPPED
from vmdedup.host.memory import Host
from vmdedup.host.rebuild import kind_of_all
from vmdedup.host.swap import store_page
from vmdedup.policy.difference_engine.packing import IdlePacking
from vmdedup.policy.difference_engine.records import C4, Records
from vmdedup.policy.difference_engine.take import keep_away
from vmdedup.policy.work import Work


class Swap:
    """Between the two marks. out: pages swapped out so far; rebuilt: those that were patched or compressed before."""

    def __init__(self, host: Host, knobs: Mapping[str, int], packing: IdlePacking, work: Work) -> None:
        self._host = host
        self._h = host.arrays
        self._knobs = knobs
        self._packing = packing
        self._work = work
        self._hand = 0  # entry behind the last victim
        self.out = 0
        self.rebuilt = 0

    def balance(self, records: Records) -> None:
        """If the high mark is passed, swap out long idle pages until the low mark is reached."""
        high, low = self._knobs["swap_high"], self._knobs["swap_low"]
        if high == 0 or self._percent() <= high:
            return
        for entry in self._victims(records).tolist():
            if self._percent() <= low:
                return
            self._swap_out(entry)

    def _percent(self) -> float:
        return 100 * self._host.frames_in_use() / (int(self._h.ctl[CTL_FRAMES]) - 1)

    def _victims(self, records: Records) -> NDArray[np.int64]:
        """Entries of pages in C4 that are not swapped yet, from the hand on, and round."""
        idle = np.flatnonzero(records.state == C4)
        idle = idle[kind_of_all(self._h.pte[idle]) != SWAPPED]
        at = int(np.searchsorted(idle, self._hand))
        return np.roll(idle, -at)

    def _swap_out(self, entry: int) -> None:
        """Swap a page out; one that is patched or compressed is rebuilt first."""
        self._hand = entry + 1
        rebuilt = self._packing.rebuild(entry)
        page = self._packing.take_idle(entry, rebuilt)
        if page is None:
            return
        form = store_page(self._h, page.pfn)
        self._work.count("swap_out")
        if not form:
            put_frame(self._h, page.pfn)
        elif keep_away(self._h, entry, page.protected, form):
            self.out += 1
            self.rebuilt += rebuilt
