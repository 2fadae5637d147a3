"""Whole-page sharing, as every policy but KSM does it: a page is mapped to a shared frame. Kernels only.

A shared frame is read-only for all, marked in its frame word, and counted by who maps it; when the last one goes it is
free. No policy has to be told. So a policy may forget a shared frame at any time, or find it by its mark.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.absent import frame_behind
from vmdedup.host.frames import get_frame, put_frame, set_stable_node, stable_node_of
from vmdedup.host.layout import ACCESSED, FRAME_MASK, FRAME_SHIFT, MERGEABLE, NO_NODE, PIN, PRESENT, SOFT
from vmdedup.host.share import FAILED, replace_page, write_protect
from vmdedup.jit.atomic import cas, load
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import same_page

SHARED = 1
DIFFERS = 2  # another content
BUSY = 3  # being used, gone, or changed meanwhile: try another time
ALREADY = 4  # it maps that frame


@kernel
def frame_of(h: Any, entry: int) -> int:
    """The frame with content of its own that a mergeable page maps; 0 if there is none, or the page is in use."""
    e = load(h.pte, entry)
    if not e & PRESENT or not e & MERGEABLE or e & PIN:
        return 0
    pfn: int = (e >> FRAME_SHIFT) & FRAME_MASK
    return pfn


@kernel
def is_shared(h: Any, pfn: int) -> bool:
    """Whether a frame is a shared one."""
    return stable_node_of(h, pfn) != 0


@kernel
def make_shared(h: Any, entry: int, pfn: int) -> bool:
    """Turn a page's own frame into a shared frame that others may be mapped to. False: the page is busy."""
    if not get_frame(h, pfn):
        return False
    done = write_protect(h, entry, pfn) != FAILED
    if done:
        set_stable_node(h, pfn, NO_NODE)
    put_frame(h, pfn)
    return done


@kernel
def share_page(h: Any, entry: int, kpfn: int) -> int:
    """Map a page to a shared frame (0: the zero page) if it has the same content. SHARED, DIFFERS, BUSY or ALREADY."""
    pfn = frame_of(h, entry)
    if pfn == 0 or not get_frame(h, pfn):
        return BUSY
    result = BUSY
    if pfn == kpfn:
        result = ALREADY
    elif kpfn == 0:
        result = _share(h, entry, pfn, 0)
    elif get_frame(h, kpfn):
        result = _share(h, entry, pfn, kpfn) if stable_node_of(h, kpfn) != 0 else BUSY
        put_frame(h, kpfn)
    put_frame(h, pfn)
    return result


@kernel
def _share(h: Any, entry: int, pfn: int, kpfn: int) -> int:
    if not same_page(h.words, pfn, h.words, kpfn):
        return DIFFERS
    protected = write_protect(h, entry, pfn)
    if protected == FAILED:
        return BUSY
    if same_page(h.words, pfn, h.words, kpfn):
        return SHARED if replace_page(h, entry, protected, pfn, kpfn) else BUSY
    # Stored to between the two comparisons: it has to be looked at again.
    cas(h.pte, entry, protected, protected | SOFT)
    return BUSY


@kernel
def was_accessed(h: Any, entry: int) -> bool:
    """Whether the page was used since this was last asked; clears the bit."""
    while True:
        old = load(h.pte, entry)
        if not old & ACCESSED:
            return False
        if cas(h.pte, entry, old, old & ~ACCESSED):
            return True


@kernel
def count_shared(h: Any, maps: Any) -> int:
    """How often each shared frame is mapped or guarded. maps: int32[frames], zeroed. Returns how many there are."""
    frames = 0
    for mm in range(1, len(h.mms)):
        first = h.mms[mm]["first"]
        for entry in range(first, first + h.mms[mm]["pages"]):
            pfn = frame_behind(load(h.pte, entry))
            if pfn != 0 and stable_node_of(h, pfn) != 0:
                if maps[pfn] == 0:
                    frames += 1
                maps[pfn] += 1
    return frames
