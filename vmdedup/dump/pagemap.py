"""What the kernel says of a process's pages: where any are, which frames they are in, and what those frames are.

Source: Linux' Documentation/admin-guide/mm/pagemap.rst; include/uapi/linux/fs.h and kernel-page-flags.h for numbers.
"""

from __future__ import annotations

import errno
import fcntl
import os
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from vmdedup.closing import Closing
from vmdedup.units import PAGE_SIZE

Words = NDArray[np.uint64]
Runs = list[tuple[int, int]]  # first page, pages

PRESENT, SWAPPED, OF_FILE = np.uint64(1 << 63), np.uint64(1 << 62), np.uint64(1 << 61)
FRAME = np.uint64((1 << 55) - 1)
MERGED_FRAME, ZERO_FRAME = np.uint64(1 << 21), np.uint64(1 << 24)  # of /proc/kpageflags: KSM, ZERO_PAGE
NEAR = 512  # frames whose flags are read at once though some between are not asked for
STRIDE = 1 << 16  # entries read at a time
TABLE = 512  # pages that one page table maps: where one of them is, others may come

# What a frame is, in the top bits of a word that names it: anonymous memory, a file's or shared memory, merged by KSM.
KIND = 62
ANONYMOUS, FILE, MERGED = 0, 1, 2
FRAMES = np.uint64((1 << KIND) - 1)  # of such a word: the frame

SCAN_CALL = 0xC0606610  # PAGEMAP_SCAN
SCAN_ARGUMENTS = Struct("=12Q")
THERE = 1 << 3 | 1 << 4  # PAGE_IS_PRESENT, PAGE_IS_SWAPPED
MOST_RUNS = 1024


class PageMap(Closing):
    """The page map of a process, open. OSError: as the system has it."""

    def __init__(self, pid: int) -> None:
        self._descriptor = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)

    def entries(self, first: int, pages: int) -> Words:
        """The entries of so many pages. ProcessLookupError: the process has ended."""
        found = np.frombuffer(os.pread(self._descriptor, 8 * pages, 8 * first), np.uint64)
        if len(found) < pages:
            raise ProcessLookupError(errno.ESRCH, "ended")
        return found

    def occupied(self, first: int, pages: int) -> Runs:
        """The parts of a range in whose page tables any page is, present or swapped; of whole page tables."""
        try:
            runs = self._scan(first, pages)
        except OSError as error:
            if error.errno not in (errno.ENOTTY, errno.EINVAL):
                raise
            runs = self._look(first, pages)  # Linux before 6.7
        return widened(runs, first, first + pages)

    def _scan(self, first: int, pages: int) -> Runs:
        """Runs of pages that are there, as the kernel tells them: it passes over what has no page tables."""
        found: Runs = []
        regions = np.zeros((MOST_RUNS, 3), np.uint64)
        at, end = first * PAGE_SIZE, (first + pages) * PAGE_SIZE
        while at < end:
            size = SCAN_ARGUMENTS.size
            fields = (size, 0, at, end, 0, regions.ctypes.data, MOST_RUNS, 0, 0, 0, THERE, THERE)
            arguments = bytearray(SCAN_ARGUMENTS.pack(*fields))
            count = fcntl.ioctl(self._descriptor, SCAN_CALL, arguments, True)
            for low, high, _ in regions[:count].tolist():
                found.append((low // PAGE_SIZE, (high - low) // PAGE_SIZE))
            at = SCAN_ARGUMENTS.unpack(arguments)[4]
        return found

    def _look(self, first: int, pages: int) -> Runs:
        """The same, by reading every entry."""
        found: Runs = []
        for at in range(first, first + pages, STRIDE):
            there = (self.entries(at, min(STRIDE, first + pages - at)) & (PRESENT | SWAPPED)) != 0
            tables = np.unique((at + np.flatnonzero(there)) // TABLE) * TABLE
            found += [(max(first, table), 1) for table in tables.tolist()]
        return found

    def close(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)


def widened(runs: Runs, first: int, after: int) -> Runs:
    """The page tables in which these runs lie, those that follow on each other as one; within first to after - 1."""
    found: list[list[int]] = []
    for low, pages in runs:
        start, end = low // TABLE * TABLE, -(-(low + pages) // TABLE) * TABLE
        if found and start <= found[-1][1]:
            found[-1][1] = max(end, found[-1][1])
        else:
            found.append([start, end])
    clipped = [(max(start, first), min(end, after)) for start, end in found]
    return [(start, end - start) for start, end in clipped]


def with_kinds(entries: Words, flags: Words) -> Words:
    """The frames of entries, with what they are. flags: of these frames, by frame_flags."""
    kinds = np.where(flags & MERGED_FRAME, MERGED, np.where(entries & OF_FILE, FILE, ANONYMOUS)).astype(np.uint64)
    return (entries & FRAME) | kinds << np.uint64(KIND)


def frame_flags(frames: Words) -> Words:
    """What /proc/kpageflags says of frames. Without root: nothing, as frame numbers are hidden, too."""
    distinct, which = np.unique(frames, return_inverse=True)
    flags = np.zeros(len(distinct), np.uint64)
    if not len(distinct) or distinct[-1] == 0:
        return flags[which]
    try:
        with open("/proc/kpageflags", "rb", buffering=0) as file:
            cuts = np.flatnonzero(np.diff(distinct) > NEAR) + 1
            at = 0
            for some in np.split(distinct, cuts):
                first, count = int(some[0]), int(some[-1] - some[0]) + 1
                read = np.frombuffer(os.pread(file.fileno(), 8 * count, 8 * first), np.uint64)
                inside = (some - some[0]).astype(np.int64)
                known = inside < len(read)
                flags[at : at + len(some)][known] = read[inside[known]]
                at += len(some)
    except OSError:
        pass
    return flags[which]
