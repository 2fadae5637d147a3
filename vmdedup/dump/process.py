"""The memory of a live process, as KSM sees it: pages that are present and not the kernel's zero page.

Page maps are read when the dump is opened, before any content: reading content maps zero pages into holes, which would
then look present. Pages in swap are absent, as KSM does not see them and reading would bring them back; `swapped` has
their number. Without root the zero page cannot be told from others. Stop the process to get one moment's memory. Page
numbers are virtual. Source: Linux' Documentation/admin-guide/mm/pagemap.rst and filesystems/proc.rst.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vmdedup.dump.base import BLOCK_PAGES, Block, Dump, Region
from vmdedup.dump.mappings import Mapping, Only, chosen, read_mappings
from vmdedup.dump.pagemap import (
    FRAME,
    OF_FILE,
    PRESENT,
    STRIDE,
    SWAPPED,
    ZERO_FRAME,
    PageMap,
    Words,
    frame_flags,
    with_kinds,
)
from vmdedup.errors import DumpError, EnvironmentLacksError
from vmdedup.units import PAGE_SIZE


@dataclass(frozen=True)
class Part:
    """A run of pages with page tables. region: its index. first: page. bits: which are there to be read, a bitmap."""

    region: int
    first: int
    bits: NDArray[np.uint8]


class ProcessDump(Dump):
    """A live process, opened. only: mappings advised MADV_MERGEABLE, all, or the one with most resident memory.

    size: only mappings of so many bytes. Of reserved addresses, and of everything where all mappings are asked for,
    only pages that are there count, and regions are the page tables that hold them; else whole mappings do.
    lost: pages that the process gave up between the page map and the reading; they read as zeros.
    DumpError: no such process, no such mapping. EnvironmentLacksError: not allowed.
    """

    format = "process"
    is_live = True

    def __init__(self, pid: int, only: Only = "mergeable", size: int | None = None) -> None:
        self.pid, self.name = pid, f"pid:{pid}"
        self.swapped = self.lost = self.reserved = 0
        self.memory = -1
        self.regions: list[Region] = []
        self.are_files: list[bool] = []  # by region: whether most of it is files' or shared memory
        self._parts: list[Part] = []
        self._frames: list[Words] = []
        self._pages = 0
        try:
            self.memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
            mappings = chosen(self.name, read_mappings(pid), only)
            with PageMap(pid) as page_map:
                for mapping in mappings:
                    if size is None or mapping.end - mapping.start == size:
                        is_whole = size is not None or only == "largest" or not (only == "all" or mapping.is_reserved)
                        self._take(page_map, mapping, is_whole)
        except OSError as error:
            self.close()
            raise reason(self.name, error) from error
        except BaseException:
            self.close()
            raise

    def _take(self, page_map: PageMap, mapping: Mapping, is_whole: bool) -> None:
        """Note what there is of a mapping."""
        first, pages = mapping.start // PAGE_SIZE, (mapping.end - mapping.start) // PAGE_SIZE
        name = mapping.name or "anonymous"
        runs = page_map.occupied(first, pages) if mapping.resident or mapping.swapped else []
        if is_whole:
            self._add(Region(name, first, pages))
        there = 0
        for low, count in runs:
            if not is_whole:
                self._add(Region(name, low, count))
            there += self._take_run(page_map, low, count)
        self._pages += pages if is_whole else there
        self.reserved += 0 if is_whole else pages - there

    def _add(self, region: Region) -> None:
        self.regions.append(region)
        self.are_files.append(False)

    def _take_run(self, page_map: PageMap, first: int, pages: int) -> int:
        """Note a run of pages of the last region. Returns how many are there: present, in swap, or the zero page."""
        there = 0
        for at in range(first, first + pages, STRIDE):
            entries = page_map.entries(at, min(STRIDE, first + pages - at))
            swapped, present = int(np.count_nonzero(entries & SWAPPED)), (entries & PRESENT) != 0
            self.swapped += swapped
            there += swapped + int(np.count_nonzero(present))
            mapped = entries[present]
            self.are_files[-1] = 2 * int(np.count_nonzero(mapped & OF_FILE)) > len(mapped)
            flags = frame_flags(mapped & FRAME)
            kept = (flags & ZERO_FRAME) == 0
            present[present] = kept
            self._frames.append(with_kinds(mapped[kept], flags[kept]))
            self._parts.append(Part(len(self.regions) - 1, at, np.packbits(present, bitorder="little")))
        return there

    @property
    def pages(self) -> int:
        """Pages of all regions; of trimmed ones, those that are there."""
        return self._pages

    @property
    def present(self) -> int:
        """Pages that KSM could see when the process was opened."""
        return sum(len(frames) for frames in self._frames)

    def frames(self) -> Words | None:
        """The frame of each page that blocks() gives, in that order, and its kind; None: the kernel hides them."""
        found = np.concatenate([np.zeros(0, np.uint64), *self._frames])
        return found if not len(found) or (found & FRAME).all() else None

    def blocks(self) -> Iterator[Block]:
        """Each mapping in order of address."""
        for part in self._parts:
            numbers = part.first + np.flatnonzero(np.unpackbits(part.bits, bitorder="little"))
            for low in range(0, len(numbers), BLOCK_PAGES):
                some = numbers[low : low + BLOCK_PAGES]
                yield Block(part.region, some, partial(self.load, some))

    def load(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The contents of these pages, run by run."""
        pages = np.empty((len(numbers), PAGE_SIZE), np.uint8)
        edges = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), len(numbers)]
        for low, high in pairwise(edges):
            self._read_run(int(numbers[low]), pages[low:high])
        pages.flags.writeable = False
        return pages

    def _read_run(self, first: int, pages: NDArray[np.uint8]) -> None:
        """Pages from one on. Those that are gone become zeros."""
        done = 0
        while done < len(pages):
            try:
                got = os.preadv(self.memory, [pages[done:].data], (first + done) * PAGE_SIZE)
            except OSError as error:
                if error.errno not in (errno.EIO, errno.EFAULT):
                    raise reason(self.name, error) from error
                pages[done] = 0
                self.lost += 1
                done += 1
                continue
            if got == 0:
                raise DumpError(f"{self.name}: the process ended while it was read; stop it first, then read it")
            done += got // PAGE_SIZE

    def close(self) -> None:
        """Let go of the process; twice does no harm."""
        if self.memory >= 0:
            os.close(self.memory)
            self.memory = -1


def reason(name: str, error: OSError) -> Exception:
    """What to tell the user of a system call that failed on a process."""
    if error.errno in (errno.EPERM, errno.EACCES):
        return EnvironmentLacksError(f"{name}: not allowed to read this process; run as root")
    if error.errno in (errno.ENOENT, errno.ESRCH):
        return DumpError(f"{name}: no such process, or it ended; name the number of a running one")
    return DumpError(f"{name}: cannot be read: {error.strerror}")
