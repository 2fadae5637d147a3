"""Looking for empty pages. Kernels only."""

from __future__ import annotations

from typing import Any

from vmdedup.jit.kernel import kernel
from vmdedup.policy.sharing import DIFFERS, SHARED, frame_of, share_page

LOOKED, EMPTY, JOINED, FOUND = range(4)  # what is counted: pages with a frame, those of zeros, those shared now


@kernel
def share_zeros(h: Any, entries: Any, found: Any) -> None:
    """Map empty pages to the zero page. entries: int64[n]. found: int64[FOUND], added to."""
    for k in range(len(entries)):
        pfn = frame_of(h, entries[k])
        if pfn == 0:
            continue
        found[LOOKED] += 1
        # Most pages are ruled out by their first word; what is left is compared where it is shared, not here as well.
        if h.words[pfn, 0] == 0:
            result = share_page(h, entries[k], 0)
            found[EMPTY] += result != DIFFERS
            found[JOINED] += result == SHARED
