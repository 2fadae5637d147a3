"""Portions of each guest in turn: the order in which the clock goes over memory. Section 4.2 of the paper."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.layout import MM_LIVE
from vmdedup.host.memory import Host


class Turns:
    """One pass over the pages of all address spaces that have entered, a portion of each at a time."""

    def __init__(self, host: Host) -> None:
        self._mms = host.arrays.mms
        self._seen: dict[int, int] = {}  # pages of each that were handed out in this pass
        self._turn = 0  # index of whose turn it is

    def enter(self, mm: int) -> None:
        """Take an address space in, behind all others."""
        self._seen.setdefault(mm, 0)

    def leave(self, mm: int) -> None:
        """Take an address space out."""
        if mm not in self._seen:
            return
        if list(self._seen).index(mm) < self._turn:
            self._turn -= 1
        del self._seen[mm]

    def anybody(self) -> bool:
        """Whether there are pages to go over at all."""
        return any(self._size(mm) for mm in self._seen)

    def restart(self) -> None:
        """Begin another pass."""
        self._seen = dict.fromkeys(self._seen, 0)
        self._turn = 0

    def is_over(self) -> bool:
        """Whether every page has had its turn in this pass."""
        return all(seen >= self._size(mm) for mm, seen in self._seen.items())

    def _size(self, mm: int) -> int:
        """Pages of an address space; 0 when it has ended."""
        return int(self._mms[mm]["pages"]) if self._mms[mm]["state"] == MM_LIVE else 0

    def take(self, pages: int, portion: int) -> NDArray[np.int64]:
        """The next portions, of so many pages together at most: int64[n, 2], first entry and how many."""
        members = list(self._seen)
        sizes = [self._size(mm) for mm in members]
        runs: list[tuple[int, int]] = []
        left, idle = pages, 0
        while left > 0 and idle < len(members):
            turn = self._turn % len(members)
            mm = members[turn]
            start = self._seen[mm]
            count = min(left, portion, sizes[turn] - start)
            self._turn = turn + 1
            idle = 0 if count > 0 else idle + 1
            if count > 0:
                self._seen[mm] = start + count
                runs.append((int(self._mms[mm]["first"]) + start, count))
                left -= count
        return np.array(runs, np.int64).reshape(-1, 2)
