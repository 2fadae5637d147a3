"""The memory of a process that ksmd sees: mergeable mappings, visible pages, their frames and bytes.

ksmd visits mappings advised MADV_MERGEABLE in ascending order, and in them the pages that are present and anonymous.
The shared zero page, small or huge, is present but belongs to nobody, so ksmd passes it by. For a QEMU process this
is the guest's RAM, the display's memory and the firmware, as far as touched.
Source: Documentation/admin-guide/mm/ksm.rst, pagemap.rst; proc(5) on smaps.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import EnvironmentLacksError, GuestError
from vmdedup.units import PAGE_SIZE

BLOCK_PAGES = 2048
KSM, THP, ZERO_PAGE = (np.uint64(1 << bit) for bit in (21, 22, 24))  # of /proc/kpageflags
_PRESENT, _FRAME = np.uint64(1 << 63), np.uint64((1 << 55) - 1)
_GAP = 512  # frames between two wanted ones that are read along rather than asked for apart


@dataclass(frozen=True)
class Mapping:
    """A mergeable mapping. first: page number of its address. pages: its size."""

    first: int
    pages: int


@dataclass(frozen=True)
class VisiblePages:
    """The pages of one process that ksmd sees, in the order in which it visits them.

    numbers: page numbers of their addresses, int64 (n,), ascending. frames: uint64 (n,). flags: of /proc/kpageflags,
    uint64 (n,). zeros: further pages, which map the small zero page. ram: the largest mapping, a guest's RAM.
    """

    pid: int
    numbers: NDArray[np.int64]
    frames: NDArray[np.uint64]
    flags: NDArray[np.uint64]
    zeros: int
    ram: Mapping

    def __len__(self) -> int:
        return len(self.numbers)

    def count(self, flag: np.uint64) -> int:
        """How many of them have a flag: KSM, THP."""
        return int(np.count_nonzero(self.flags & flag))

    @property
    def firmware(self) -> int:
        """How many of them are not RAM: display memory, BIOS, option ROMs."""
        low, high = np.searchsorted(self.numbers, [self.ram.first, self.ram.first + self.ram.pages])
        return len(self.numbers) - int(high - low)

    def blocks(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """(index of the first, contents uint8 (n, 4096)) for all pages in order. GuestError: the process is gone."""
        for start in range(0, len(self.numbers), BLOCK_PAGES):
            yield start, read_pages(self.pid, self.numbers[start : start + BLOCK_PAGES])


def mergeable_mappings(pid: int) -> list[Mapping]:
    """The mergeable mappings of a process, ascending (VmFlags mg). GuestError: it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps").read_text()
    except OSError as error:
        raise GuestError(f"process {pid} is gone ({error.strerror}); start its guest again") from None
    mappings, first, pages = [], 0, 0
    for line in text.splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            low, _, high = words[0].partition("-")
            first, pages = int(low, 16) // PAGE_SIZE, (int(high, 16) - int(low, 16)) // PAGE_SIZE
        elif words[0] == "VmFlags:" and "mg" in words:
            mappings.append(Mapping(first, pages))
    return mappings


def visible_pages(pid: int) -> VisiblePages:
    """The pages that ksmd sees now. Raises as pages_in."""
    return pages_in(pid, mergeable_mappings(pid))


def pages_in(pid: int, mappings: Sequence[Mapping]) -> VisiblePages:
    """The pages of these mappings, ascending, as they are now.

    Nothing is read of the memory itself, which would map zero pages into holes. GuestError: the process is gone.
    EnvironmentLacksError: not root.
    """
    numbers, frames = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
    descriptor = _open(pid, "pagemap")
    try:
        for mapping in mappings:
            data = _read_all(descriptor, mapping.pages * 8, mapping.first * 8)
            if len(data) < mapping.pages * 8:
                raise GuestError(f"process {pid} is gone; start its guest again")
            entries = np.frombuffer(data, np.uint64)
            present = np.flatnonzero(entries & _PRESENT)
            numbers.append(present + mapping.first)
            frames.append(entries[present] & _FRAME)
    except OSError as error:
        raise GuestError(f"process {pid} is gone ({error.strerror}); start its guest again") from None
    finally:
        os.close(descriptor)
    ram = max(mappings, key=lambda mapping: mapping.pages, default=Mapping(0, 0))
    return _without_zero_page(pid, np.concatenate(numbers), np.concatenate(frames), ram)


def _without_zero_page(pid: int, numbers: NDArray[np.int64], frames: NDArray[np.uint64], ram: Mapping) -> VisiblePages:
    if np.any(frames == 0):
        raise EnvironmentLacksError("/proc/PID/pagemap hides frame numbers; run as real root (CAP_SYS_ADMIN)")
    flags = page_flags(frames)
    kept = (flags & ZERO_PAGE) == 0
    small = int(np.count_nonzero((flags & (ZERO_PAGE | THP)) == ZERO_PAGE))  # the huge one is mapped by reading only
    return VisiblePages(pid, numbers[kept], frames[kept], flags[kept], small, ram)


def page_flags(frames: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The flags of each frame, of /proc/kpageflags, uint64 (n,). EnvironmentLacksError: not root."""
    wanted, inverse = np.unique(frames, return_inverse=True)
    found = np.empty(len(wanted), np.uint64)
    cuts = np.flatnonzero(np.diff(wanted) > _GAP) + 1
    try:
        descriptor = os.open("/proc/kpageflags", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise EnvironmentLacksError(f"/proc/kpageflags: {error.strerror}; run as root") from None
    try:
        for run in np.split(np.arange(len(wanted)), cuts):
            if len(run):
                low, high = int(wanted[run[0]]), int(wanted[run[-1]])
                flags = np.frombuffer(_read_all(descriptor, (high + 1 - low) * 8, low * 8), np.uint64)
                found[run] = flags[(wanted[run] - np.uint64(low)).astype(np.int64)]
    finally:
        os.close(descriptor)
    return found[inverse]


def _read_all(descriptor: int, size: int, offset: int) -> bytearray:
    data = bytearray()
    while len(data) < size and (more := os.pread(descriptor, size - len(data), offset + len(data))):
        data += more
    return data


def read_pages(pid: int, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The contents of pages, ascending numbers of their addresses: uint8 (n, 4096). GuestError: they are gone."""
    pages = np.empty((len(numbers), PAGE_SIZE), np.uint8)
    cuts = np.flatnonzero(np.diff(numbers) != 1) + 1
    descriptor = _open(pid, "mem")
    try:
        for start, stop in zip([0, *cuts.tolist()], [*cuts.tolist(), len(numbers)], strict=True):
            _read_into(descriptor, pages[start:stop].reshape(-1).data, int(numbers[start]) * PAGE_SIZE)
    finally:
        os.close(descriptor)
    return pages


def _read_into(descriptor: int, part: memoryview, address: int) -> None:
    try:
        got = os.preadv(descriptor, [part], address) if len(part) else 0
    except OSError:
        got = -1
    if got < len(part):
        raise GuestError("a guest's memory went away while it was read; its process has ended")


def _open(pid: int, name: str) -> int:
    try:
        return os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        raise EnvironmentLacksError(f"/proc/{pid}/{name} is not ours to read; run as root") from None
    except OSError as error:
        raise GuestError(f"process {pid} is gone ({error.strerror}); start its guest again") from None
