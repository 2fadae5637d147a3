"""Memory given as segments: so many bytes at an address, which stand in a file at an offset, perhaps only in part.

Pages are made of them: a page may be put together of several segments that touch within it. Pages of which some bytes
are nowhere are left out: they belong to no one content.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vmdedup.dump.extents import HOLE, Extent, ExtentDump, regions_of
from vmdedup.dump.file import Source, check_range
from vmdedup.dump.overlap import uppermost
from vmdedup.errors import DumpError
from vmdedup.units import PAGE_SIZE

Segment = tuple[int, int, int, int]  # first byte's address, file offset (or HOLE), bytes in the file, bytes in memory
Stretch = tuple[int, int, int]  # first byte's address, the address after the last, file offset (or HOLE)
Part = tuple[int, int]  # file offset (or HOLE), bytes
Run = tuple[int, int, int, int]  # first page, pages, offset, number of the file


def open_segments(file: Source, kind: str, segments: Sequence[Segment], overlap: bool = False) -> ExtentDump:
    """A dump of these segments. overlap: they may, and the first in their order holds. DumpError: they do else."""
    regions = regions_of(file.name, list(whole_regions(segments)))
    stretches = without_overlaps(file.name, segments, overlap)
    joined = Joined(file)
    runs = list(whole_pages(stretches, joined))
    starts = [region.first for region in regions]
    extents = [Extent(bisect_right(starts, run[0]) - 1, *run) for run in runs]
    return ExtentDump(file.name, kind, regions, [file, joined], lambda: iter(extents))


def whole_regions(segments: Iterable[Segment]) -> Iterator[tuple[int, int, str]]:
    """First page, pages, name of each stretch of memory that segments cover, whole pages only."""
    start = end = 0
    for first, _, _, size in [*sorted(segments), (1 << 65, 0, 0, 0)]:
        if first > end:
            low, high = -(-start // PAGE_SIZE), end // PAGE_SIZE
            if high > low:
                yield low, high - low, f"{start:#x}"
            start = first
        end = max(end, first + size)


def without_overlaps(name: str, segments: Sequence[Segment], overlap: bool) -> list[Stretch]:
    """What stands in the file, by address. DumpError: two segments overlap that must not."""
    stretches = [(start, start + filed, offset) for start, offset, filed, _ in segments if filed]
    order = sorted(stretches)
    clash = next((two for one, two in pairwise(order) if one[1] > two[0]), None)
    if clash is None:
        return order
    if not overlap:
        raise DumpError(f"{name}: two of its memory ranges overlap at address {clash[0]:#x}: damaged; dump again")
    stretches.reverse()
    ranges = [stretch[:2] for stretch in stretches]
    return [(low, high, moved(stretches[index][2], low - ranges[index][0])) for low, high, index in uppermost(ranges)]


def moved(offset: int, by: int) -> int:
    """An offset so many bytes further on."""
    return HOLE if offset == HOLE else offset + by


def whole_pages(stretches: Iterable[Stretch], joined: Joined) -> Iterator[Run]:
    """Runs of whole pages. stretches: by address, not overlapping. joined: is given the pages that lie in parts."""
    parts: list[Part] = []  # of the page in which the last stretch ended
    end = 0
    for start, after, offset in stretches:
        at = start
        if start != end:
            parts = []
        if parts:
            at = min(after, -(-start // PAGE_SIZE) * PAGE_SIZE)
            parts.append((offset, at - start))
            if at % PAGE_SIZE == 0:
                yield at // PAGE_SIZE - 1, 1, joined.add(parts), 1
                parts = []
        end = after
        low, high = -(-at // PAGE_SIZE), after // PAGE_SIZE
        if high > low:
            yield low, high - low, moved(offset, low * PAGE_SIZE - start), 0
        if not parts and low <= high and after % PAGE_SIZE:
            parts = [(moved(offset, high * PAGE_SIZE - start), after % PAGE_SIZE)]


class Joined:
    """Pages put together of parts of a file, as a file of their own: page n is the n-th that was added."""

    def __init__(self, file: Source) -> None:
        self.file, self.name, self.size = file, file.name, 0
        self.pages: list[tuple[Part, ...]] = []

    def add(self, parts: Iterable[Part]) -> int:
        """A page more: the offset at which it stands here."""
        self.pages.append(tuple(parts))
        self.size += PAGE_SIZE
        return self.size - PAGE_SIZE

    def read(self, offset: int, length: int) -> bytes:
        """Exactly so many bytes. DumpError: they are not there."""
        buffer = np.empty(length, np.uint8)
        self.read_into(offset, buffer)
        return buffer.tobytes()

    def read_into(self, offset: int, buffer: NDArray[np.uint8]) -> None:
        """Fill a contiguous buffer of whole pages."""
        check_range(self, offset, buffer.nbytes)
        flat = buffer.reshape(-1)
        at = 0
        for page in self.pages[offset // PAGE_SIZE : (offset + len(flat)) // PAGE_SIZE]:
            for place, length in page:
                if place == HOLE:
                    flat[at : at + length] = 0
                else:
                    self.file.read_into(place, flat[at : at + length])
                at += length

    def close(self) -> None:
        """Nothing of its own to let go of."""
