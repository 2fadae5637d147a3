"""Dumps whose pages stand in their files as they were in memory: runs of pages at file offsets, and holes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmdedup.dump.base import BLOCK_PAGES, Block, Dump, Region, same_page
from vmdedup.dump.file import Source, check_pages
from vmdedup.errors import DumpError
from vmdedup.units import PAGE_SIZE

HOLE = -1  # an offset: pages of zeros that take no room in the file
LONG_HOLE = 64  # pages; a hole so long makes blocks of its own, which are one page seen many times

ZEROS = np.zeros(PAGE_SIZE, np.uint8)
ZEROS.flags.writeable = False


@dataclass(frozen=True)
class Extent:
    """A run of pages. region: its index. first: page number. offset: where in file `source` it stands, or HOLE."""

    region: int
    first: int
    pages: int
    offset: int
    source: int = 0


class ExtentDump(Dump):
    """Runs of pages in one or several files. runs: makes the extents anew; ascending, not overlapping.

    Extents are made when they are needed, so that a sparse file of a million holes costs no memory.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        regions: Sequence[Region],
        files: Sequence[Source],
        runs: Callable[[], Iterator[Extent]],
    ) -> None:
        self.name, self.format, self.regions, self.files, self.runs = name, kind, regions, files, runs
        check_pages(name, self.pages)
        self._present = sum(extent.pages for extent in runs())

    @property
    def present(self) -> int:
        """Pages of all extents."""
        return self._present

    def blocks(self) -> Iterator[Block]:
        """Neighbouring extents of a region together, long holes apart."""
        pieces: list[Extent] = []
        room = BLOCK_PAGES
        for piece in self._pieces():
            apart = pieces and (pieces[0].region != piece.region or is_long_hole(piece) or is_long_hole(pieces[0]))
            if apart or piece.pages > room:
                if pieces:
                    yield self._block(pieces)
                pieces, room = [], BLOCK_PAGES
            pieces.append(piece)
            room -= piece.pages
        if pieces:
            yield self._block(pieces)

    def _pieces(self) -> Iterator[Extent]:
        """The extents, cut at multiples of a block's pages."""
        for extent in self.runs():
            done = 0
            while done < extent.pages:
                first = extent.first + done
                pages = min(extent.pages - done, BLOCK_PAGES - first % BLOCK_PAGES)
                offset = HOLE if extent.offset == HOLE else extent.offset + done * PAGE_SIZE
                yield Extent(extent.region, first, pages, offset, extent.source)
                done += pages

    def _block(self, pieces: list[Extent]) -> Block:
        """One block of these pieces."""
        numbers = np.concatenate([np.arange(piece.first, piece.first + piece.pages) for piece in pieces])
        return Block(pieces[0].region, numbers, lambda: self._load(pieces))

    def _load(self, pieces: list[Extent]) -> NDArray[np.uint8]:
        """The contents of pieces, (n, 4096)."""
        count = sum(piece.pages for piece in pieces)
        if all(piece.offset == HOLE for piece in pieces):
            return same_page(ZEROS, count)
        pages = np.empty((count, PAGE_SIZE), np.uint8)
        at = 0
        for piece in pieces:
            part = pages[at : at + piece.pages]
            if piece.offset == HOLE:
                part[:] = 0
            else:
                self.files[piece.source].read_into(piece.offset, part)
            at += piece.pages
        pages.flags.writeable = False
        return pages

    def close(self) -> None:
        """Close all files."""
        for file in self.files:
            file.close()


def is_long_hole(extent: Extent) -> bool:
    """Whether an extent is a hole that should be a block of its own."""
    return extent.offset == HOLE and extent.pages >= LONG_HOLE


def split_holes(extent: Extent, data: Iterator[tuple[int, int]]) -> Iterator[Extent]:
    """An extent of a sparse file as data and holes. data: the file's data ranges within or around the extent, rising.

    Data is widened to whole pages, as a file system's blocks may be smaller than pages.
    """
    start, end = extent.offset, extent.offset + extent.pages * PAGE_SIZE
    at = start
    for first, after in data:
        low = max(at, start + (max(first, start) - start) // PAGE_SIZE * PAGE_SIZE)
        high = start + -((start - min(after, end)) // PAGE_SIZE) * PAGE_SIZE
        if high <= low:
            continue
        if low > at:
            yield _part(extent, at, low, HOLE)
        yield _part(extent, low, high, low)
        at = high
    if at < end:
        yield _part(extent, at, end, HOLE)


def _part(extent: Extent, low: int, high: int, offset: int) -> Extent:
    """The bytes low to high of an extent's file."""
    first = extent.first + (low - extent.offset) // PAGE_SIZE
    return Extent(extent.region, first, (high - low) // PAGE_SIZE, offset, extent.source)


def regions_of(name: str, runs: Sequence[tuple[int, int, str]]) -> list[Region]:
    """Regions (first page, pages, name), in order. DumpError: two of them overlap, or are beyond addresses."""
    regions = [Region(title, first, pages) for first, pages, title in runs]
    after = 0
    for region in regions:
        if region.first < after:
            place = region.first * PAGE_SIZE
            raise DumpError(f"{name}: two of its memory ranges overlap at address {place:#x}: damaged; dump again")
        after = region.first + region.pages
    if after > 1 << 62:
        raise DumpError(f"{name}: has memory beyond every address: damaged; dump again")
    return regions
