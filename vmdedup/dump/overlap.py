"""Ranges that may overlap, cut into stretches that do not, each with the range that holds there."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import pairwise


def uppermost(ranges: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Stretches in ascending order, each (first, after, index of the range that is uppermost there).

    ranges: (first, after), none of them empty; of two that overlap, the one that comes later lies above.
    """
    coming = sorted(range(len(ranges)), key=lambda index: ranges[index][0], reverse=True)
    over: list[tuple[int, int]] = []  # ranges that may reach here, the uppermost first: -index, where it ends
    edges = sorted({edge for pair in ranges for edge in pair})
    for low, high in pairwise(edges):
        while coming and ranges[coming[-1]][0] <= low:
            index = coming.pop()
            heapq.heappush(over, (-index, ranges[index][1]))
        while over and over[0][1] <= low:
            heapq.heappop(over)
        if over:
            yield low, high, -over[0][0]
