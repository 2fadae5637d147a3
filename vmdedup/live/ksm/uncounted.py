"""Zeros that no counter tells: pages that map the zero page although KSM did not put it there.

When ksmd splits a huge page, its pages of zeros come to map the zero page, and their memory is free; neither
pages_sharing nor ksm_zero_pages counts them. Pages that were only ever read map it too, so seen from outside, and
afterwards, their number is the most that splits can have freed.
Source: Documentation/admin-guide/mm/pagemap.rst.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from typing import Final

from vmdedup.units import PAGE_SIZE

_PART: Final = 1 << 20  # entries read at a time: 8 MiB
_PRESENT, _FRAME = 1 << 63, (1 << 55) - 1


def zero_mappings(pid: int, mappings: Sequence[tuple[int, int]]) -> int | None:
    """How many pages of a process map the zero page (not the huge one); None if that is not for us to see.

    mappings: address and bytes of each that counts.
    """
    import numpy as np

    zero = _zero_frame()
    if not zero:
        return None
    wanted, mask, found = np.uint64(_PRESENT | zero), np.uint64(_PRESENT | _FRAME), 0
    try:
        descriptor = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        for address, size in mappings:
            for first in range(address // PAGE_SIZE, (address + size) // PAGE_SIZE, _PART):
                count = min(_PART, (address + size) // PAGE_SIZE - first)
                entries = np.frombuffer(os.pread(descriptor, count * 8, first * 8), np.uint64)
                found += int(np.count_nonzero((entries & mask) == wanted))
    except (OSError, ValueError):
        return None  # the process has ended
    finally:
        os.close(descriptor)
    return found


def _zero_frame() -> int:
    """The number of the zero page's frame: a page of ours that was only read maps it. 0: it is hidden from us."""
    import numpy as np

    page = mmap.mmap(-1, PAGE_SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    seen = np.frombuffer(page, np.uint8)
    address = seen.ctypes.data + int(seen[0])  # reading maps it
    try:
        descriptor = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return int.from_bytes(os.pread(descriptor, 8, address // PAGE_SIZE * 8), "little") & _FRAME
    finally:
        os.close(descriptor)
