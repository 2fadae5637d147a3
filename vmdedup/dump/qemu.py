"""QEMU's RAM as its migration streams have it: `migrate exec:cat>F`, `virsh save`, mapped-ram files.

The guest's RAM has guest-physical page numbers, as in ELF dumps: of a PC it stands from 0 up to the hole for devices
below 4 GiB, the rest from 4 GiB on. Other RAM blocks (video memory, firmware) have no address in the stream; they stand
one after another from page 2^40 on. Source of the hole's place: QEMU's hw/i386/pc_piix.c and pc_q35.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vmdedup.dump.base import BLOCK_PAGES, Block, Dump, Region, same_page
from vmdedup.dump.extents import LONG_HOLE
from vmdedup.dump.file import Source, check_pages
from vmdedup.dump.qemu_stream import RamBlock, RamStream
from vmdedup.errors import DumpError
from vmdedup.units import PAGE_SIZE

ELSEWHERE = 1 << 40  # number of the first page of blocks without an address
FOUR_GIB = (4 << 30) // PAGE_SIZE
# Machine, RAM from which on it is split, RAM below 4 GiB then; in MiB.
HOLES = (("q35", 0xB00, 0x800), ("i440fx", 0xE00, 0xC00), ("pc-", 0xE00, 0xC00))
MAIN = re.compile(r"pc\.ram|ram-node\d+|mach-virt\.ram|microvm\.ram|.*_ram|ppc_spapr\.ram|s390\.ram|riscv.*\.ram")


@dataclass(frozen=True)
class Part:
    """A part of a RAM block that is one region. skip: the block's pages before it."""

    block: RamBlock
    skip: int
    region: Region


class QemuDump(Dump):
    """A migration stream that begins at a byte of a file. kind: "qemu", or what wraps the stream."""

    def __init__(self, file: Source, start: int = 0, kind: str = "qemu") -> None:
        self.file, self.name, self.format = file, file.name, kind
        stream = RamStream(file, start)
        self.parts = laid_out(stream)
        self.regions = [part.region for part in self.parts]
        if not self.regions:
            raise DumpError(f"{self.name}: is a migration stream without RAM; migrate again")
        check_pages(self.name, self.pages)
        self.pages_of = {name: block.settled() for name, block in stream.blocks.items()}
        self._present = sum(len(numbers) for numbers, _ in self.pages_of.values())

    @property
    def present(self) -> int:
        """Pages that were sent."""
        return self._present

    def blocks(self) -> Iterator[Block]:
        """Each region in order; long runs of one fill byte are blocks of their own."""
        for index, part in enumerate(self.parts):
            numbers, places = self.pages_of[part.block.name]
            low, high = np.searchsorted(numbers, [part.skip, part.skip + part.region.pages]).tolist()
            shift = part.region.first - part.skip
            for start, end in cuts(places[low:high]):
                some = places[low + start : low + end]
                yield Block(index, numbers[low + start : low + end] + shift, partial(self._load, some))

    def _load(self, places: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The pages at these places, (n, 4096)."""
        count = len(places)
        if (places == places[0]).all() and places[0] < 0:
            return same_page(np.full(PAGE_SIZE, -1 - places[0], np.uint8), count)
        pages = np.empty((count, PAGE_SIZE), np.uint8)
        filled = places < 0
        pages[filled] = (-1 - places[filled]).astype(np.uint8)[:, None]
        for low, high in near(np.flatnonzero(~filled), places):
            first = int(places[low[0]])
            data = np.empty(high, np.uint8)
            self.file.read_into(first, data)
            for row in low.tolist():
                at = int(places[row]) - first
                pages[row] = data[at : at + PAGE_SIZE]
        pages.flags.writeable = False
        return pages

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def cuts(places: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Blocks (first, after) of a list of places: at most 2048 pages each, long runs of one fill byte apart."""
    kinds = np.minimum(places, 0)
    edges = [0, *(np.flatnonzero(np.diff(kinds)) + 1).tolist(), len(places)]
    start = 0
    for low, high in pairwise(edges):
        long = high - low >= LONG_HOLE and places[low] < 0
        if long and start < low:
            yield from pieces(start, low)
        if long:
            yield from pieces(low, high)
            start = high
    yield from pieces(start, len(places))


def pieces(low: int, high: int) -> Iterator[tuple[int, int]]:
    """A range in parts of at most 2048."""
    for at in range(low, high, BLOCK_PAGES):
        yield at, min(at + BLOCK_PAGES, high)


def near(rows: NDArray[np.intp], places: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.intp], int]]:
    """Rows whose places lie close together in the file, and how many bytes are to be read for them."""
    rows = rows[np.argsort(places[rows], kind="stable")]
    gaps = np.flatnonzero(np.diff(places[rows]) > 2 * PAGE_SIZE) + 1
    for some in np.split(rows, gaps):
        if len(some):
            yield some, int(places[some[-1]] - places[some[0]]) + PAGE_SIZE


def laid_out(stream: RamStream) -> list[Part]:
    """The parts of all blocks: the guest's RAM by address, then the others."""
    blocks = list(stream.blocks.values())
    main = [block for block in blocks if MAIN.fullmatch(block.name)]
    if not main and blocks:
        main = [max(blocks, key=lambda block: block.pages)]
    base, hole = place_of_ram(stream.machine, sum(block.pages for block in main))
    parts, done = [], 0
    for block in main:
        low = min(max(hole - done, 0), block.pages)
        if low:
            parts.append(Part(block, 0, Region(block.name, base + done, low)))
        if low < block.pages:
            first = base + FOUR_GIB + done + low - hole
            parts.append(Part(block, low, Region(block.name, first, block.pages - low)))
        done += block.pages
    at = ELSEWHERE
    for block in blocks:
        if block not in main:
            parts.append(Part(block, 0, Region(block.name, at, block.pages)))
            at += block.pages
    return parts


def place_of_ram(machine: str, pages: int) -> tuple[int, int]:
    """The page at which a machine's RAM begins, and how many pages of it stand below the hole."""
    for name, least, low in HOLES:
        if name in machine and pages * PAGE_SIZE >= least << 20:
            return 0, (low << 20) // PAGE_SIZE
        if name in machine:
            break
    return (1 << 30) // PAGE_SIZE if machine.startswith("virt") else 0, pages
