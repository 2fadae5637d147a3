"""Who has what: the guests' table and the matrix, counted from the host's page tables.

Arrays over all mappings of counted frames, one element a (frame, guest) pair:
frame, guest: int64[n]; copies: how often that guest maps that frame; sharers: how many guests map that frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmdedup.host import census
from vmdedup.host.memory import Host

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_ROWS = 4096  # frames taken at a time


@dataclass(frozen=True)
class Shares:
    """Pages of each address space, float64[mms]: a frame that g guests map counts 1/g to each of them."""

    allocated: Floats
    used: Floats
    zero: Floats
    within: Floats
    between: Floats


class Mappings:
    """The mappings of a host at one moment; exact while nobody runs."""

    def __init__(self, host: Host) -> None:
        arrays = host.arrays
        self.mms = len(arrays.mms)
        self.allocated, self.zero_placed = host.allocated()
        pairs = np.zeros(census.count_mappings(arrays), np.int64)
        pairs = pairs[: census.list_mappings(arrays, pairs)]
        unique, self.copies = np.unique(pairs, return_counts=True)
        self.frame, self.guest = unique >> 16, unique & 0xFFFF
        frames, inverse, guests = np.unique(self.frame, return_inverse=True, return_counts=True)
        self.sharers = guests[inverse]
        self.is_zero = _zero_frames(arrays.words, frames)[inverse]

    def shares(self) -> Shares:
        """What each guest has allocated, uses, and saves in which way."""
        kept = ~self.is_zero
        zero_own, kept_own = self._parts(self.is_zero), self._parts(kept)
        return Shares(
            allocated=self.allocated.astype(np.float64),
            used=zero_own + kept_own,
            zero=self._by_guest(self.copies * self.is_zero) - zero_own + self.zero_placed,
            within=self._by_guest((self.copies - 1) * kept).astype(np.float64),
            between=self._by_guest(kept) - kept_own,
        )

    def matrix(self, zero: bool) -> Ints:
        """Frames that both guests map, int64[mms, mms]; the diagonal: frames mapped more than once."""
        wanted = self.is_zero == zero
        common = self._common_frames(wanted & (self.sharers > 1))
        np.fill_diagonal(common, self._by_guest(wanted & (self.copies > 1)))
        return common

    def _common_frames(self, wanted: NDArray[np.bool_]) -> Ints:
        frame, guest = self.frame[wanted], self.guest[wanted]
        common = np.zeros((self.mms, self.mms), np.float64)
        if len(frame):
            row = np.cumsum(np.diff(frame, prepend=frame[0]) != 0)
            for start in range(0, int(row[-1]) + 1, _ROWS):
                lo, hi = np.searchsorted(row, [start, start + _ROWS])
                incidence = np.zeros((_ROWS, self.mms), np.float32)
                incidence[row[lo:hi] - start, guest[lo:hi]] = 1.0
                common += incidence.T @ incidence
        return common.astype(np.int64)

    def _by_guest(self, values: NDArray[Any]) -> Ints:
        """Sums of whole numbers."""
        return np.bincount(self.guest, weights=values, minlength=self.mms).astype(np.int64)

    def _parts(self, wanted: NDArray[np.bool_]) -> Floats:
        """Each guest's part of the frames: 1/g of one that g guests map.

        Frames are counted by g first: the sum must not depend on frame numbers, which a race decides.
        """
        columns = self.mms + 1
        places = self.guest[wanted] * columns + self.sharers[wanted]
        counts = np.bincount(places, minlength=self.mms * columns).reshape(self.mms, columns)
        parts: Floats = (counts[:, 1:] / np.arange(1, columns)).sum(axis=1)
        return parts


def _zero_frames(words: Ints, frames: Ints) -> NDArray[np.bool_]:
    """Which of the frames hold zeros only. words: int64[all frames, words of a page]."""
    is_zero: NDArray[np.bool_] = words[frames, 0] == 0
    for i in np.flatnonzero(is_zero):
        is_zero[i] = not words[frames[i]].any()
    return is_zero
