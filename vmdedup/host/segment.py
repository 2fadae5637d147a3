"""The anonymous shared memory that a host lives in.

A memfd has no name: it is handed to child processes by descriptor and is gone when the last of them is gone, however
that happens. It is sized once and sparse, so what nobody touched costs nothing.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from multiprocessing.reduction import DupFd
from typing import Any

from vmdedup.errors import HostError, require_linux

NO_MEMORY = 18  # exit status of a process that the system gives no memory
FALLOC_FL_KEEP_SIZE = 1
FALLOC_FL_PUNCH_HOLE = 2
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


class Segment:
    """size bytes of zeroed, sparse memory. Picklable into a child process that multiprocessing starts."""

    def __init__(self, size: int, descriptor: int | None = None) -> None:
        self.size = size
        self._descriptor = _create(size) if descriptor is None else descriptor
        try:
            self.buffer = mmap.mmap(self._descriptor, size)
        except (OSError, ValueError, OverflowError) as error:
            self.close()
            raise HostError(
                f"cannot map {size >> 20} MiB of host memory ({error}); ask for fewer or smaller guests"
            ) from None

    def punch(self, offset: int, length: int) -> None:
        """Give a range back to the system; it reads as zeros afterwards."""
        mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
        if _libc.fallocate(self._descriptor, mode, offset, length) != 0:
            raise HostError(f"cannot return host memory to the system: {os.strerror(ctypes.get_errno())}")

    def resident(self) -> int:
        """Bytes of the segment that really occupy memory."""
        return os.fstat(self._descriptor).st_blocks * 512

    def close(self) -> None:
        """Let go of the descriptor. The mapping goes when the last array on it goes."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.size, DupFd(self._descriptor))


def _create(size: int) -> int:
    require_linux()
    descriptor = os.memfd_create("vmdedup-host", os.MFD_CLOEXEC)
    try:
        os.ftruncate(descriptor, size)
    except (OSError, OverflowError) as error:
        os.close(descriptor)
        reason = getattr(error, "strerror", error)
        raise HostError(
            f"cannot get {size >> 20} MiB of shared memory ({reason}); ask for fewer or smaller guests"
        ) from None
    return descriptor


def _rebuild(size: int, descriptor: Any) -> Segment:
    """In a process of ours, whose arguments these are. One that may not map it ends, and its status says why."""
    try:
        return Segment(size, descriptor.detach())
    except HostError:
        os._exit(NO_MEMORY)
