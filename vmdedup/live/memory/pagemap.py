"""Which physical page lies behind each page of a process: /proc/PID/pagemap."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import EnvironmentLacksError, GuestError
from vmdedup.units import PAGE_SIZE

_PRESENT = np.uint64(1 << 63)
_FRAME = np.uint64((1 << 55) - 1)
ABSENT = 0  # no process maps frame 0


def frames(pid: int, base: int, pages: int) -> NDArray[np.uint64]:
    """Return the frame number of each of the pages from address `base` on, ABSENT where none is present.

    The zero page is a frame like any other. EnvironmentLacksError: the kernel hides frame numbers from us.
    Source: Documentation/admin-guide/mm/pagemap.rst.
    """
    entries = _entries(pid, base // PAGE_SIZE, pages)
    present = (entries & _PRESENT) != 0
    found = np.where(present, entries & _FRAME, np.uint64(ABSENT))
    if np.any(present & (found == ABSENT)):
        raise EnvironmentLacksError("/proc/PID/pagemap hides frame numbers; run as real root (CAP_SYS_ADMIN)")
    return found


def _entries(pid: int, first: int, pages: int) -> NDArray[np.uint64]:
    descriptor = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = bytearray()
        while len(data) < pages * 8:
            more = os.pread(descriptor, pages * 8 - len(data), first * 8 + len(data))
            if not more:
                raise GuestError(f"process {pid} is gone; leave it to the script")
            data += more
    finally:
        os.close(descriptor)
    return np.frombuffer(data, np.uint64)


def groups(pages: dict[str, NDArray[np.uint64]]) -> list[list[str]]:
    """Return sorted groups of "name:page" with one frame in common, for name → frame of each page."""
    names = np.repeat(np.arange(len(pages)), [len(found) for found in pages.values()])
    numbers = np.concatenate([np.arange(len(found)) for found in pages.values()] or [np.empty(0, np.int64)])
    found = np.concatenate([*pages.values(), np.empty(0, np.uint64)])
    shared = _shared(found)
    order = shared[np.argsort(found[shared], kind="stable")]
    cuts = np.flatnonzero(np.diff(found[order])) + 1
    labels = list(pages)
    return sorted(
        sorted(f"{labels[names[page]]}:{numbers[page]}" for page in group)
        for group in np.split(order, cuts)
        if len(group)
    )


def _shared(found: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Return the positions of the present frames that occur more than once."""
    _, inverse, counts = np.unique(found, return_inverse=True, return_counts=True)
    return np.flatnonzero((counts[inverse] > 1) & (found != ABSENT))
