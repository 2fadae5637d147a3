"""Who is killed where a host has no memory left: the largest. Source: mm/oom_kill.c:oom_badness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.layout import FRAME_MASK, FRAME_SHIFT, KIND_MASK, KIND_SHIFT, PRESENT, SWAPPED, VMA_BITS, WHOLE

_ENTRIES = 512  # of a page table


@dataclass(frozen=True)
class Badness:
    """Pages: resident, those shared with others in full, the zero page left out; in swap; of its page tables."""

    resident: int
    swapped: int
    tables: int

    @property
    def points(self) -> int:
        """What processes are ordered by."""
        return self.resident + self.swapped + self.tables


def badness(entries: NDArray[np.int64]) -> Badness:
    """Of an address space with this page table, int64[pages]."""
    is_present = entries & PRESENT != 0
    has_frame = is_present & ((entries >> FRAME_SHIFT) & FRAME_MASK != 0)
    is_swapped = ~is_present & ((entries & KIND_MASK) >> KIND_SHIFT == SWAPPED)
    needs_table = (entries & ~VMA_BITS != 0) & (entries & WHOLE == 0)
    tables = len(np.unique(np.flatnonzero(needs_table) // _ENTRIES))
    middle = len(np.unique(np.flatnonzero(entries & ~VMA_BITS != 0) // _ENTRIES**2))
    return Badness(int(has_frame.sum()), int(is_swapped.sum()), tables + middle + (middle > 0))
