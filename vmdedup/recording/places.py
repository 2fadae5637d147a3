"""Places of a guest's pages: guest page numbers, which may lie far apart, made 0, 1, 2, … without gaps."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vmdedup.dump.base import Region
from vmdedup.errors import DumpError
from vmdedup.recording.layout import MOST_GUEST_PAGES

Numbers = NDArray[np.int64]


class Places:
    """regions: in the order of their places. pages: places given so far.

    Regions may come later, and anywhere: a process maps more memory while it lives.
    """

    def __init__(self, regions: Iterable[Region] = ()) -> None:
        self.regions: list[Region] = []
        self.pages = 0
        self._extents: list[tuple[int, int, int]] = []  # first number, pages, first place; by first number
        self._last: Sequence[Region] = ()
        self._arrays: tuple[Numbers, Numbers, Numbers] | None = None
        self.add(tuple(regions))

    def add(self, regions: Sequence[Region]) -> list[Region]:
        """Give places to all numbers that have none yet. Returns the new regions. DumpError: too many pages."""
        if regions == self._last:
            return []
        new = [part for region in regions for part in self._missing(region)]
        for part in new:
            self._append(part)
        self._last = regions
        return new

    def take(self, regions: Sequence[Region], name: str) -> None:
        """Give places to the regions of a file, in its order, as the first of all. name: of the file.

        DumpError: two of them overlap, which no recorder writes, or they are too many pages. Regions may be millions.
        """
        total = sum(region.pages for region in regions)
        if total > MOST_GUEST_PAGES:
            raise DumpError(f"{name}: a guest of more than {MOST_GUEST_PAGES} pages is too large; record parts of it")
        place = 0
        for region in regions:
            self._extents.append((region.first, region.pages, place))
            place += region.pages
        self._extents.sort()
        if any(one[0] + one[1] > other[0] for one, other in pairwise(self._extents)):
            raise DumpError(f"{name} is damaged (regions of a guest overlap); record again")
        self.regions, self.pages = list(regions), total

    def _missing(self, region: Region) -> Iterator[Region]:
        """The parts of a region that have no places."""
        at, end = region.first, region.first + region.pages
        if at < 0 or region.pages < 0 or end > 1 << 62:
            raise DumpError(f"a region of {region.pages} pages at page {region.first} cannot be; the file is damaged")
        near = max(0, bisect_right(self._extents, (at, 1 << 62, 0)) - 1)
        for first, pages, _ in self._extents[near:]:
            if first >= end:
                break
            if first > at:
                yield Region(region.name, at, first - at)
            at = max(at, first + pages)
        if at < end:
            yield Region(region.name, at, end - at)

    def _append(self, region: Region) -> None:
        if self.pages + region.pages > MOST_GUEST_PAGES:
            raise DumpError(f"a guest of more than {MOST_GUEST_PAGES} pages is too large; record parts of it")
        insort(self._extents, (region.first, region.pages, self.pages))
        self.regions.append(region)
        self.pages += region.pages
        self._arrays = None

    def _columns(self) -> tuple[Numbers, Numbers, Numbers]:
        if self._arrays is None:
            table = np.array(self._extents, np.int64).reshape(-1, 3)
            self._arrays = tuple(np.ascontiguousarray(table[:, column]) for column in range(3))  # type: ignore[assignment]
        assert self._arrays is not None
        return self._arrays

    def of(self, numbers: Numbers) -> Numbers:
        """The places of page numbers. DumpError: one of them lies in no region."""
        firsts, pages, places = self._columns()
        if not len(numbers):
            return np.zeros(0, np.int64)
        extent = np.searchsorted(firsts, numbers, side="right") - 1
        offset = numbers - firsts[extent] if len(firsts) else numbers
        if not len(firsts) or extent.min() < 0 or (offset >= pages[extent]).any():
            raise DumpError("a page lies in none of the regions; the dump is damaged")
        return places[extent] + offset

    def in_order(self) -> Iterator[tuple[int, int, int]]:
        """Runs of places by ascending page number: first number, first place, pages."""
        for first, pages, place in self._extents:
            yield first, place, pages
