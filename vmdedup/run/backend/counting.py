"""What the emulated host's page tables tell: who maps what, what is saved, which writes broke sharing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmdedup.host import census
from vmdedup.host.memory import Host
from vmdedup.run.measure.accounting import Floats, Ints, Mappings, possible_pages


def host_mappings(host: Host, stored: Floats | None = None) -> Mappings:
    """The mappings of a host at one moment; exact while nobody runs. stored: as Mappings has it."""
    arrays = host.arrays
    allocated, zero_placed = host.allocated()
    maps = np.zeros(len(arrays.frames), np.int32)
    pairs = np.zeros(census.count_maps(arrays, maps), np.int64)
    singles = np.zeros((len(arrays.mms), 2), np.int64)
    pairs = pairs[: census.list_shared(arrays, maps, pairs, singles)]
    return Mappings(allocated, zero_placed, pairs, lambda frames: _zero_frames(arrays.words, frames), stored, singles)


def _zero_frames(words: Ints, frames: Ints) -> NDArray[np.bool_]:
    """Which of the frames hold zeros only. words: int64[all frames, words of a page]."""
    is_zero: NDArray[np.bool_] = words[frames, 0] == 0
    for i in np.flatnonzero(is_zero):
        is_zero[i] = not words[frames[i]].any()
    return is_zero


def saved_pages(host: Host) -> tuple[int, int, int]:
    """Pages saved that are zero-filled (those that KSM placed left out), within one guest, between guests."""
    scratch = np.zeros((3, len(host.arrays.frames)), np.int32)
    totals = np.zeros(3, np.int64)
    census.share_totals(host.arrays, scratch[0], scratch[1], scratch[2], totals)
    return int(totals[0]), int(totals[1]), int(totals[2])


class ContentCounter:
    """Counts contents, while all stand. It hashes what may have changed since it counted last: there is one a host."""

    def __init__(self) -> None:
        self._known = np.zeros(0, np.int64)

    def possible(self, host: Host, allocated: int, zero_placed: int, zeros_are_free: bool) -> int:
        """possible_pages of all frames of a host."""
        if not len(self._known):
            self._known = np.zeros(len(host.arrays.frames), np.int64)
            host.arrays.news[:] = 1
        return possible_pages(host.contents(self._known), allocated, zero_placed, zeros_are_free, host.zero_hash)


class BreakCounter:
    """Writes that found a merged page, or a zero page that KSM placed, and got a copy; the dead included.

    fields: other counters of address spaces (host.layout.mm_dtype) to be summed up instead.

    An address space's own count starts anew when its record is used again, so what was counted is kept here.
    """

    def __init__(self, *fields: str) -> None:
        self._fields = fields or ("cow_ksm", "zero_cow")
        self._seen = np.zeros(0, np.int64)
        self._gone = 0

    def total(self, host: Host) -> int:
        """The breaks since the run began."""
        now = sum((host.arrays.mms[field] for field in self._fields), np.zeros(len(host.arrays.mms), np.int64))
        before = self._seen if len(self._seen) else np.zeros_like(now)
        self._gone += int(before[now < before].sum())
        self._seen = now
        return self._gone + int(now.sum())
