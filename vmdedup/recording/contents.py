"""The contents that a recording holds already: from a page's digest to the content's number."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import DumpError
from vmdedup.recording.digest import Digests
from vmdedup.recording.places import Numbers

MOST = (1 << 32) - 1
_GROWTH = 4


class Contents:
    """count: contents known, numbered from 1; 0 stands for absent. 24 bytes a content.

    Found by the first half of the digest in a few sorted runs, each at least four times as long as the next; the
    second half must agree as well. Two different digests whose first halves are equal (made on purpose: by chance it
    does not happen) cost a content stored twice, never a wrong one.
    """

    def __init__(self) -> None:
        self.count = 0
        self._first = np.zeros(1024, np.uint64)
        self._second = np.zeros(1024, np.uint64)
        self._runs: list[tuple[int, NDArray[np.int64]]] = []  # first content, order of the run's first halves

    def digests(self, numbers: NDArray[np.integer[Any]]) -> Digests:
        """The digests of contents, (n, 2)."""
        return np.stack((self._first[numbers], self._second[numbers]), axis=1)

    def resolve(self, wanted: Digests) -> tuple[Numbers, Numbers]:
        """The content number of each digest (n, 2), and which rows are the first of a new content, in number order."""
        _, firsts, which = np.unique(wanted[:, 0], return_index=True, return_inverse=True)
        rows = np.sort(firsts)  # so that numbers are given in the order of the rows
        found = self._find(wanted[rows])
        new = rows[found == 0]
        found[found == 0] = np.arange(self.count + 1, self.count + 1 + len(new))
        self._append(wanted[new])
        by_row = np.zeros(len(wanted), np.int64)
        by_row[rows] = found
        numbers = by_row[firsts[which]]
        odd = np.flatnonzero(self._second[numbers] != wanted[:, 1])
        if len(odd):
            numbers[odd], more = self.resolve(wanted[odd])
            new = np.concatenate((new, odd[more]))
        return numbers, new

    def _find(self, wanted: Digests) -> Numbers:
        """Content numbers; 0 where there is none."""
        found = np.zeros(len(wanted), np.int64)
        first, second = np.ascontiguousarray(wanted[:, 0]), wanted[:, 1]
        for start, order in self._runs:
            run = self._first[start : start + len(order)]
            at = np.searchsorted(run, first, sorter=order)
            candidate = order[np.minimum(at, len(order) - 1)] + start
            hit = (self._first[candidate] == first) & (self._second[candidate] == second)
            found[hit] = candidate[hit]
        return found

    def _append(self, new: Digests) -> None:
        if not len(new):
            return
        start, end = self.count + 1, self.count + 1 + len(new)
        if end > MOST:
            raise DumpError("a recording holds at most 2^32 different pages; begin another one")
        if end > len(self._first):
            room = max(end, len(self._first) * 3 // 2)
            self._first, self._second = _grown(self._first, room), _grown(self._second, room)
        self._first[start:end], self._second[start:end] = new[:, 0], new[:, 1]
        self.count += len(new)
        while self._runs and len(self._runs[-1][1]) < _GROWTH * (end - start):
            start = self._runs.pop()[0]
        self._runs.append((start, np.argsort(self._first[start:end], kind="stable")))


def _grown(column: NDArray[np.uint64], room: int) -> NDArray[np.uint64]:
    larger = np.zeros(room, np.uint64)
    larger[: len(column)] = column
    return larger
