"""Which pages have not been used for longest: generations, as Linux's multi-generational LRU has them.

    walk     all page tables: who was accessed since the last walk is of the youngest generation, and its bit is cleared
    take     pages of the oldest generation, in order of addresses; who was accessed meanwhile is young again

A page is what is in a frame: it is as young as the youngest of the entries that map it. There are at most four
generations, and a walk makes a new one when there would be less than two. That fits this host, which has no reverse map
either: generations are kept by walking page tables; the two lists, active and inactive, ask of each page who maps it.
Everybody stands while anything here runs. Source: Documentation/mm/multigen_lru.rst, behaviour only.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.layout import ACCESSED, CTL_NEXT_ENTRY, FRAME_MASK, FRAME_SHIFT, PRESENT
from vmdedup.host.memory import Host

MOST: Final = 4  # generations: MAX_NR_GENS
LEAST: Final = 2  # MIN_NR_GENS
Numbers = NDArray[np.int64]
_NONE: Numbers = np.empty(0, np.int64)


class Generations:
    """The pages of a host by age. oldest, youngest: numbers of generations."""

    def __init__(self, host: Host) -> None:
        self._h = host.arrays
        self._generation: Numbers = np.zeros(len(self._h.pte), np.int64)
        self.oldest, self.youngest = 0, 0
        self._entries, self._starts = _NONE, _NONE  # mapping entries by page, and where each page's begin
        self._queue, self._next = _NONE, 0  # pages of the oldest generation, and the next to be looked at
        self.walks = 0

    def take(self, most: int) -> Numbers:
        """An entry of each of the next pages to go, at most so many; none where none is left that is there at all."""
        for _ in range(MOST + LEAST):
            if len(taken := self._take(most)):
                return taken
            if self.youngest - self.oldest >= LEAST:
                self.oldest += 1
                self._sort()
            else:
                self._walk()
        return _NONE

    def _walk(self) -> None:
        """Begin a generation: of who was accessed since the last walk, and of who is new."""
        self.walks += 1
        self.youngest += 1
        self.oldest = max(self.oldest, self.youngest - MOST + 1)
        end = int(self._h.ctl[CTL_NEXT_ENTRY])
        pte, generation = self._h.pte[:end], self._generation[:end]
        is_young = pte & ACCESSED != 0
        generation[is_young] = self.youngest
        pte[is_young] &= ~ACCESSED
        self._sort()

    def _sort(self) -> None:
        """Who maps what, and which pages are of the oldest generation."""
        end = int(self._h.ctl[CTL_NEXT_ENTRY])
        frames = np.where(self._h.pte[:end] & PRESENT, (self._h.pte[:end] >> FRAME_SHIFT) & FRAME_MASK, 0)
        entries = np.flatnonzero(frames)
        self._entries = entries[np.argsort(frames[entries], kind="stable")]
        firsts = np.flatnonzero(np.diff(frames[self._entries], prepend=0))
        self._starts = np.append(firsts, len(self._entries))
        ages = np.maximum.reduceat(self._generation[self._entries], firsts) if len(firsts) else _NONE
        old = np.flatnonzero(ages <= self.oldest)
        self._queue, self._next = old[np.argsort(self._entries[self._starts[old]], kind="stable")], 0

    def _take(self, most: int) -> Numbers:
        """Of the next pages of the queue those that are there still and were not accessed; that may be none."""
        taken: list[int] = []
        while len(taken) < most and self._next < len(self._queue):
            page = self._queue[self._next]
            self._next += 1
            mapping = self._entries[self._starts[page] : self._starts[page + 1]]
            words = self._h.pte[mapping]
            if (words & ACCESSED).any():
                self._generation[mapping] = self.youngest
                self._h.pte[mapping] &= ~ACCESSED
            elif words[0] & PRESENT:
                taken.append(int(mapping[0]))
        return np.array(taken, np.int64)
