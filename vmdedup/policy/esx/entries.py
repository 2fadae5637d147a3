"""From numbers drawn to page table entries. Kernels only."""

from __future__ import annotations

from typing import Any

from vmdedup.jit.kernel import kernel


@kernel
def to_entries(drawn: Any, ends: Any, offsets: Any) -> None:
    """Turn numbers of pages, counted over all address spaces, into entries, in place.

    drawn: int64[n]. ends: int64[mms], where each one's numbers end. offsets: int64[mms], to be added to them.
    """
    for k in range(len(drawn)):
        low, high = 0, len(ends) - 1
        while low < high:
            middle = (low + high) >> 1
            if drawn[k] < ends[middle]:
                high = middle
            else:
                low = middle + 1
        drawn[k] += offsets[low]
