"""The memory of a live process, as KSM sees it: pages that are present and not the kernel's zero page.

Page maps are read when the dump is opened, before any content: reading content maps zero pages into holes, which would
then look present. Pages in swap are absent, as KSM does not see them and reading would bring them back; `swapped` has
their number. Without root the zero page cannot be told from others. Stop the process to get one moment's memory. Page
numbers are virtual. Source: Linux' Documentation/admin-guide/mm/pagemap.rst and filesystems/proc.rst.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vmdedup.dump.base import BLOCK_PAGES, Block, Dump, Region
from vmdedup.errors import DumpError, EnvironmentLacksError
from vmdedup.units import PAGE_SIZE

Only = Literal["mergeable", "all", "largest"]
HEADER = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+ *(.*)")
PRESENT, SWAPPED, FRAME = np.uint64(1 << 63), np.uint64(1 << 62), np.uint64((1 << 55) - 1)
ZERO_PAGE = np.uint64(1 << 24)  # of /proc/kpageflags
STRIDE = 1 << 16  # entries of a page map read at a time
NEAR = 512  # frames whose flags are read at once though some between are not asked for
NOT_MEMORY = {"pf", "io"}  # VmFlags of mappings that are devices


@dataclass(frozen=True)
class Mapping:
    """A line of smaps. start, end: addresses. resident: bytes."""

    start: int
    end: int
    name: str
    resident: int
    flags: frozenset[str]


class ProcessDump(Dump):
    """A live process, opened. only: mappings advised MADV_MERGEABLE, all, or the one with most resident memory.

    lost: pages that the process gave up between the page map and the reading; they read as zeros.
    DumpError: no such process, no such mapping. EnvironmentLacksError: not allowed.
    """

    format = "process"

    def __init__(self, pid: int, only: Only = "mergeable") -> None:
        self.pid, self.name = pid, f"pid:{pid}"
        self.swapped = self.lost = 0
        self.memory = -1
        try:
            self.memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
            mappings = chosen(self.name, read_mappings(pid), only)
            self.regions = [
                Region(m.name or "anonymous", m.start // PAGE_SIZE, (m.end - m.start) // PAGE_SIZE) for m in mappings
            ]
            self.maps = [self._page_map(region) for region in self.regions]
        except OSError as error:
            self.close()
            raise reason(self.name, error) from error
        except BaseException:
            self.close()
            raise

    def _page_map(self, region: Region) -> NDArray[np.uint8]:
        """Which pages of a region are present and not the zero page, as a bitmap."""
        parts = []
        with open(f"/proc/{self.pid}/pagemap", "rb", buffering=0) as file:
            for at in range(0, region.pages, STRIDE):
                count = min(STRIDE, region.pages - at)
                entries = np.frombuffer(os.pread(file.fileno(), 8 * count, 8 * (region.first + at)), np.uint64)
                if len(entries) < count:
                    raise ProcessLookupError(errno.ESRCH, "ended")
                self.swapped += int(np.count_nonzero(entries & SWAPPED))
                present = (entries & PRESENT) != 0
                present[present] = ~are_zero_pages(entries[present] & FRAME)
                parts.append(np.packbits(present, bitorder="little"))
        return np.concatenate(parts) if parts else np.zeros(0, np.uint8)

    @property
    def present(self) -> int:
        """Pages that KSM could see when the process was opened."""
        return sum(int(np.bitwise_count(bits).sum()) for bits in self.maps)

    def blocks(self) -> Iterator[Block]:
        """Each mapping in order of address."""
        for index, (region, bits) in enumerate(zip(self.regions, self.maps, strict=True)):
            for at in range(0, region.pages, STRIDE):
                part = np.unpackbits(bits[at // 8 : (at + STRIDE) // 8], bitorder="little")
                numbers = region.first + at + np.flatnonzero(part)
                for low in range(0, len(numbers), BLOCK_PAGES):
                    some = numbers[low : low + BLOCK_PAGES]
                    yield Block(index, some, partial(self._load, some))

    def _load(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
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


def read_mappings(pid: int) -> list[Mapping]:
    """The mappings of a process that are memory. OSError: as the system has it."""
    found: list[Mapping] = []
    with open(f"/proc/{pid}/smaps", errors="replace") as lines:
        start = end = resident = 0
        name = ""
        for line in lines:
            key, _, rest = line.partition(":")
            if key == "Rss":
                resident = int(rest.split()[0]) << 10
            elif key == "VmFlags":
                mapping = Mapping(start, end, name, resident, frozenset(rest.split()))
                if not mapping.flags & NOT_MEMORY and name not in ("[vsyscall]", "[vvar]", "[vvar_vclock]"):
                    found.append(mapping)
            elif header := HEADER.match(line):
                start, end, name = int(header[1], 16), int(header[2], 16), header[4].strip()
    return found


def chosen(name: str, mappings: list[Mapping], only: Only) -> list[Mapping]:
    """The mappings that are asked for. DumpError: there are none."""
    if only == "mergeable":
        mappings = [mapping for mapping in mappings if "mg" in mapping.flags]
    elif only == "largest":
        mappings = sorted(mappings, key=lambda mapping: mapping.resident)[-1:]
    elif only != "all":
        raise DumpError(f"{name}: {only!r} are no mappings; say mergeable, all or largest")
    if not mappings:
        what = (
            "no mapping that KSM may merge; name it as" if only == "mergeable" else "no memory; is it no kernel thread?"
        )
        raise DumpError(f"{name}: has {what}" + (f" {name}:all" if only == "mergeable" else ""))
    return mappings


def are_zero_pages(frames: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which of these page frames are the kernel's zero page or its huge one. Without root: none is known to be."""
    distinct, which = np.unique(frames, return_inverse=True)
    zero = np.zeros(len(distinct), np.bool_)
    if not len(distinct) or distinct[-1] == 0:
        return zero[which]
    try:
        with open("/proc/kpageflags", "rb", buffering=0) as file:
            cuts = np.flatnonzero(np.diff(distinct) > NEAR) + 1
            at = 0
            for some in np.split(distinct, cuts):
                first, count = int(some[0]), int(some[-1] - some[0]) + 1
                flags = np.frombuffer(os.pread(file.fileno(), 8 * count, 8 * first), np.uint64)
                inside = (some - some[0]).astype(np.int64)
                known = inside < len(flags)
                zero[at : at + len(some)][known] = (flags[inside[known]] & ZERO_PAGE) != 0
                at += len(some)
    except OSError:
        return zero[which]
    return zero[which]
