"""Looking for empty pages. Kernels only."""

from __future__ import annotations

from typing import Any

from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import same_page
from vmdedup.policy.sharing import SHARED, frame_of, share_page

LOOKED, EMPTY, JOINED, FOUND = range(4)  # what is counted: pages with a frame, those of zeros, those shared now


@kernel
def share_zeros(h: Any, entries: Any, found: Any) -> None:
    """Map empty pages to the zero page. entries: int64[n]. found: int64[FOUND], added to."""
    for k in range(len(entries)):
        pfn = frame_of(h, entries[k])
        if pfn == 0:
            continue
        found[LOOKED] += 1
        # Most pages are ruled out by their first word.
        if h.words[pfn, 0] == 0 and same_page(h.words, pfn, h.words, 0):
            found[EMPTY] += 1
            found[JOINED] += share_page(h, entries[k], 0) == SHARED
