"""Empty the kernel's per-CPU batches of pages on their way to the LRU lists.

A page in such a batch has one reference more than ksmd expects and so cannot be merged yet. move_pages(2) of
a page that already is where it should go drains the batches of all CPUs first, and then moves nothing.
Source: mm/migrate.c do_pages_move; behaviour tried on Linux 6.18.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform

from vmdedup.errors import EnvironmentLacksError

_MOVE_PAGES = {"x86_64": 279, "aarch64": 239, "riscv64": 239, "ppc64le": 301, "s390x": 310}
_MPOL_MF_MOVE = 2


class Drain:
    """Call it to drain; holds one page of this process."""

    def __init__(self) -> None:
        number = _MOVE_PAGES.get(platform.machine())
        if number is None:
            raise EnvironmentLacksError(f"no move_pages number known for {platform.machine()}; use x86-64")
        self._syscall = ctypes.CDLL(None, use_errno=True).syscall
        self._page = mmap.mmap(-1, mmap.PAGESIZE)
        self._page[0] = 1
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._page))
        node = (ctypes.c_int * 1)(0)
        self._status = (ctypes.c_int * 1)()
        self._arguments = (
            ctypes.c_long(number),
            0,
            ctypes.c_ulong(1),
            (ctypes.c_void_p * 1)(address),
            node,
            self._status,
            _MPOL_MF_MOVE,
        )

    def __call__(self) -> None:
        """Drain all CPUs' batches (some 40 µs). EnvironmentLacksError: the kernel cannot move pages."""
        if self._syscall(*self._arguments) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise EnvironmentLacksError(
                f"move_pages failed ({reason}); use a kernel with CONFIG_NUMA and CONFIG_MIGRATION"
            )
