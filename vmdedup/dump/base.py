"""What every reader gives: regions, and blocks of pages in them.

A dump is opened once, which reads its tables and no contents; then blocks() goes through its pages in file order.
A block's bytes are read or unpacked by load(), which may be called from any thread, so that several cores can work
on one dump. Contents that are the same for a whole block (zeros, a fill byte, a hole of a sparse file) come as one
row seen many times, with a first stride of 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmdedup.closing import Closing
from vmdedup.units import PAGE_SIZE

BLOCK_PAGES = 2048  # at most so many pages in a block: 8 MiB


@dataclass(frozen=True)
class Region:
    """A range of guest memory: guest page numbers first to first + pages - 1. name: as the format has it."""

    name: str
    first: int
    pages: int


@dataclass(frozen=True)
class Block:
    """Some pages of one region. region: its index. numbers: guest page numbers, int64 (n,), ascending."""

    region: int
    numbers: NDArray[np.int64]
    read: Callable[[], NDArray[np.uint8]]

    def __len__(self) -> int:
        return len(self.numbers)

    def load(self) -> NDArray[np.uint8]:
        """The contents, uint8 (n, 4096), read-only. DumpError: they cannot be unpacked."""
        return self.read()


@dataclass(frozen=True)
class Process:
    """One of several that are one system. oom_score_adj: as Linux has it; Android says by it which is in front.

    is_zygote: others came from it by fork, and share its memory still.
    """

    name: str
    oom_score_adj: int
    is_zygote: bool


class Dump(ABC, Closing):
    """One opened dump; a context manager.

    name: as the user wrote it. format: "raw", "elf", … regions: in ascending order, not overlapping.
    reserved: pages of addresses that are kept free and hold nothing; they are in no region's count.
    is_live: the memory of processes of this machine. processes: by number, if it is several that are one system.
    """

    name: str
    format: str
    regions: Sequence[Region]
    reserved = 0
    is_live = False
    processes: Mapping[int, Process] = {}

    @abstractmethod
    def blocks(self) -> Iterator[Block]:
        """Every present page once. DumpError: the file is damaged."""

    @property
    @abstractmethod
    def present(self) -> int:
        """Pages that blocks() gives, known without reading them."""

    @property
    def pages(self) -> int:
        """Pages of all regions."""
        return sum(region.pages for region in self.regions)

    @property
    def absent(self) -> int:
        """Pages of the regions whose content the dump does not have."""
        return self.pages - self.present

    def frames(self) -> NDArray[np.uint64] | None:
        """Of live memory, the frame of each page that blocks() gives, in that order, as pagemap.with_kinds has it."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Let go of the file."""


def same_page(row: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """One page (4096,) seen as count pages: (count, 4096), read-only, no memory of its own."""
    return np.broadcast_to(row, (count, PAGE_SIZE))
