"""The bounded circular stack of hints: the newest is taken first, the oldest is lost when there is no more room."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Entries = NDArray[np.int64]


class HintStack:
    """A stack of page table entries. Aging and pruning cost nothing: what is old is at the bottom.

    Source: Miller et al., XLH, USENIX ATC 2013, section 3. size: places.
    """

    def __init__(self, size: int) -> None:
        self._ring = np.zeros(size, np.int64)
        self._top = 0  # place of the next hint
        self._length = 0
        self.lost = 0  # hints overwritten before they were taken

    def __len__(self) -> int:
        return self._length

    def push(self, entries: Entries) -> None:
        """Put hints on top, in order."""
        size = len(self._ring)
        self.lost += max(0, self._length + len(entries) - size)
        kept = entries[-size:]
        self._ring[(self._top + np.arange(len(kept))) % size] = kept
        self._top = (self._top + len(kept)) % size
        self._length = min(size, self._length + len(entries))

    def pop(self, count: int) -> Entries:
        """Take up to so many hints, newest first."""
        count = min(count, self._length)
        taken: Entries = self._ring[(self._top - 1 - np.arange(count)) % len(self._ring)]
        self._top = (self._top - count) % len(self._ring)
        self._length -= count
        return taken

    def resize(self, size: int) -> None:
        """Have another number of places; the newest hints stay."""
        kept = self.pop(size)[::-1]
        self.lost += self._length
        self._ring = np.zeros(size, np.int64)
        self._top = self._length = 0
        self.push(kept)
