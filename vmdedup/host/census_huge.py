"""Counting what huge pages take, and hide. Kernels only."""

from __future__ import annotations

from typing import Any

from vmdedup.host.layout import FRAME_MASK, FRAME_SHIFT, MM_LIVE, PRESENT, WHOLE, ZERO
from vmdedup.host.thp import HUGE_PAGES
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import same_page


@kernel
def count_huge(h: Any, counts: Any) -> None:
    """Of all guests. counts: int64[3], zeroed: huge pages that are mapped as such; pages that map the zero page though
    KSM did not put it there (after splits, or only read); pages of zeros inside huge pages."""
    whole = 0
    for mm in range(1, len(h.mms)):
        if h.mms[mm]["state"] == MM_LIVE:
            first = h.mms[mm]["first"]
            for entry in range(first, first + h.mms[mm]["pages"]):
                e = h.pte[entry]
                if not e & PRESENT:
                    continue
                pfn = (e >> FRAME_SHIFT) & FRAME_MASK
                if e & WHOLE and pfn != 0:
                    whole += 1
                    if same_page(h.words, pfn, h.words, 0):
                        counts[2] += 1
                elif pfn == 0 and not e & (ZERO | WHOLE):
                    counts[1] += 1
    counts[0] = whole // HUGE_PAGES
