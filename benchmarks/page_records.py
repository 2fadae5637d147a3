"""What a guest's own kernel says of its pages, read from a dump: its array of struct page, found in its memory.

For Linux 6.1 on x86-64, whose records have 64 bytes: flags, then for pages of files and processes a mapping (its lowest
bits tell which), and a count of references. Only what tells classes apart is read.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vmdedup.units import PAGE_SIZE

Pages = NDArray[np.uint8]
CLASSES: Final = ("image and reserved", "struct page", "slab", "other kernel", "page cache", "anonymous", "free")
RESERVED, RECORDS, SLAB, OTHER, CACHE, ANONYMOUS, FREE = range(len(CLASSES))
_RECORD = 64
_BLOCK = 512
_LRU, _SLAB, _RESERVED, _UNEVICTABLE = 4, 9, 12, 20  # numbers of flags
_ORDERS = 12
_BUDDY, _NOT_MAPPED = 0x80, 0xF000_0000


def classes_of(pages: Pages) -> NDArray[np.int64] | None:
    """The class of each page of a dump, by its number in CLASSES; None: no such array is in it. pages: (n, 4096)."""
    start = _place(pages)
    if start is None:
        return None
    records = _records(pages, start)
    found = _by_flags(records)
    _take_tails(records, found)
    found[start : start + len(pages) * _RECORD // PAGE_SIZE] = RECORDS
    return found


def _place(pages: Pages) -> int | None:
    """The array's first page: itself is memory that it calls reserved, and most of the rest is not."""
    size = len(pages) * _RECORD // PAGE_SIZE
    for start in range(0, len(pages) - size + 1, _BLOCK):
        reserved = _flag(_records(pages, start), _RESERVED)
        if reserved[start : start + size].all() and 0.02 < reserved.mean() < 0.6:
            return start
    return None


def _records(pages: Pages, start: int) -> NDArray[np.uint64]:
    size = len(pages) * _RECORD // PAGE_SIZE
    return pages[start : start + size].reshape(-1).view(np.uint64).reshape(-1, 8)


def _flag(records: NDArray[np.uint64], number: int) -> NDArray[np.bool_]:
    return (records[:, 0] >> np.uint64(number) & np.uint64(1)).astype(np.bool_)


def _by_flags(records: NDArray[np.uint64]) -> NDArray[np.int64]:
    out = np.full(len(records), OTHER, dtype=np.int64)
    kind = (records[:, 6] & np.uint64(0xFFFF_FFFF)).astype(np.int64)
    unused = records[:, 6] >> np.uint64(32) == 0
    tail = (records[:, 1] & np.uint64(1)).astype(np.bool_)
    listed = _flag(records, _LRU) | _flag(records, _UNEVICTABLE)
    anonymous = (records[:, 3] & np.uint64(3)) == 1
    out[listed & ~anonymous] = CACHE
    out[listed & anonymous] = ANONYMOUS
    out[unused & ~tail] = FREE
    for head in np.flatnonzero(unused & (kind & _NOT_MAPPED == _NOT_MAPPED) & (kind & _BUDDY == 0)).tolist():
        order = int(records[head, 5])
        out[head : head + (1 << order if order < _ORDERS else 1)] = FREE
    out[_flag(records, _SLAB)] = SLAB
    out[_flag(records, _RESERVED)] = RESERVED
    return out


def _take_tails(records: NDArray[np.uint64], found: NDArray[np.int64]) -> None:
    """Pages behind the first of several that belong together are what that one is."""
    tails = np.flatnonzero(records[:, 1] & np.uint64(1))
    firsts = tails[~np.isin(tails - 1, tails)]
    if not len(firsts):
        return
    heads = records[tails, 1] - np.uint64(1)
    base = int(records[firsts[0], 1]) - 1 - _RECORD * (int(firsts[0]) - 1)
    numbers = (heads - np.uint64(base % (1 << 64))) // np.uint64(_RECORD)
    known = numbers < len(found)
    found[tails[known]] = found[numbers[known].astype(np.int64)]
