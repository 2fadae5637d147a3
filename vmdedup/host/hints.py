"""Hints: pages that a guest has just read from, or is writing to, its disk. Kernels only.

Each guest has a ring of its own, so that in virtual time it does not matter which guest was faster. A scanner that
wants hints says so in the control block, and takes from each ring what has come since it last looked.
Source: Miller et al., XLH, USENIX ATC 2013, section 3.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.layout import CTL_HINTS, HINT_RING
from vmdedup.jit.atomic import load, store
from vmdedup.jit.kernel import kernel


@kernel
def leave_hints(h: Any, mm: int, pages: Any) -> None:
    """Leave a hint for each page, in order, if anybody wants them. Called by the owner only. pages: int64[n]."""
    if load(h.ctl, CTL_HINTS) == 0:
        return
    top = h.mms[mm]["hint_top"]
    first = h.mms[mm]["first"]
    for k in range(len(pages)):
        h.hints[mm, (top + k) % HINT_RING] = first + pages[k]
    store(h.mms["hint_top"], mm, top + len(pages))


@kernel
def take_hints(h: Any, mm: int, since: int, entries: Any) -> int:
    """The hints of one guest from number `since` on, oldest first; those overwritten are lost.

    entries: int64[HINT_RING], filled. Returns how many; the next `since` is the record's hint_top as it was found,
    which is put into entries[HINT_RING].
    """
    top = load(h.mms["hint_top"], mm)
    start = max(since, top - HINT_RING)
    for k in range(start, top):
        entries[k - start] = h.hints[mm, k % HINT_RING]
    entries[HINT_RING] = top
    return top - start
