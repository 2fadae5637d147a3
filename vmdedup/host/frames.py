"""The frame pool: counted frames, lock-free free lists, one pool for each NUMA node. Kernels only.

A frame is counted by the entries that map it, plus one while a scanner holds it. Whoever drops the last count frees it.
A process that dies between two of these steps leaks at most the frame it was working on; host.recover counts afresh.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.layout import (
    COUNT_MASK,
    CTL_FOLIOS,
    CTL_FRAMES,
    CTL_FREE,
    CTL_FRESH,
    CTL_HEADS,
    CTL_NODES,
    CTL_PER_NODE,
    CTL_POOL,
    CTL_STALE,
    NO_NODE,
    NODE_SHIFT,
    TAG_MASK,
    TAG_STEP,
)
from vmdedup.jit.atomic import cas, fetch_add, load, store
from vmdedup.jit.kernel import kernel

NO_FRAME = -1


@kernel
def node_of(h: Any, pfn: int) -> int:
    """The NUMA node that a frame lies on."""
    return pfn // h.ctl[CTL_PER_NODE]


@kernel
def frame_count(h: Any, pfn: int) -> int:
    """References to a frame now."""
    return load(h.frames, pfn) & COUNT_MASK


@kernel
def stable_node_of(h: Any, pfn: int) -> int:
    """0 for an ordinary frame, NO_NODE or the stable node's index for a KSM frame; 0 too for a free one.

    A free frame's word holds a link of the free list where a KSM frame's has the node, so the count decides.
    """
    word = load(h.frames, pfn)
    return word >> NODE_SHIFT if word & COUNT_MASK else 0


@kernel
def set_stable_node(h: Any, pfn: int, node: int) -> None:
    """Mark a frame that the caller holds as KSM (or, with node 0, as ordinary again)."""
    while True:
        word = load(h.frames, pfn)
        if cas(h.frames, pfn, word, (word & COUNT_MASK) | (node << NODE_SHIFT)):
            return


@kernel
def _take_free(h: Any, node: int) -> int:
    while True:
        head = load(h.ctl, CTL_HEADS + node)
        pfn = head & COUNT_MASK
        if pfn == 0:
            return NO_FRAME
        following = load(h.frames, pfn) >> NODE_SHIFT
        if cas(h.ctl, CTL_HEADS + node, head, (((head & TAG_MASK) + TAG_STEP) & TAG_MASK) | following):
            fetch_add(h.ctl, CTL_FREE + node, -1)
            return pfn


@kernel
def _take_fresh(h: Any, node: int) -> int:
    end = min((node + 1) * h.ctl[CTL_PER_NODE], h.ctl[CTL_FRAMES])
    while True:
        pfn = load(h.ctl, CTL_FRESH + node)
        if pfn >= end:
            return NO_FRAME
        if cas(h.ctl, CTL_FRESH + node, pfn, pfn + 1):
            return pfn


@kernel
def _take_pooled(h: Any) -> int:
    """The pool is free memory after all, once there is no other."""
    for place in range(load(h.ctl, CTL_POOL)):
        pfn = load(h.pool, place)
        if pfn != 0 and cas(h.pool, place, pfn, 0):
            h.news[pfn] = 1
            return pfn
    return NO_FRAME


@kernel
def alloc_frame_on(h: Any, node: int) -> int:
    """A frame of that NUMA node and no other, with count 1 and undefined content; NO_FRAME if it has none."""
    pfn = _take_free(h, node)
    if pfn == NO_FRAME:
        pfn = _take_fresh(h, node)
    if pfn != NO_FRAME:
        store(h.frames, pfn, 1)
        h.news[pfn] = 1
        if h.ctl[CTL_FOLIOS]:
            h.folios[pfn] = 0
    return pfn


@kernel
def alloc_frame(h: Any, node: int) -> int:
    """A frame with count 1 and undefined content, from the node or, if that is full, from another, or the pool.

    Returns NO_FRAME if the host's memory is exhausted.
    """
    nodes = h.ctl[CTL_NODES]
    for step in range(nodes):
        pfn = alloc_frame_on(h, (node + step) % nodes)
        if pfn != NO_FRAME:
            return pfn
    return _take_pooled(h)


@kernel
def push_free(h: Any, pfn: int) -> None:
    """Put a frame with count 0 on its node's free list."""
    node = node_of(h, pfn)
    while True:
        head = load(h.ctl, CTL_HEADS + node)
        store(h.frames, pfn, (head & COUNT_MASK) << NODE_SHIFT)
        if cas(h.ctl, CTL_HEADS + node, head, (((head & TAG_MASK) + TAG_STEP) & TAG_MASK) | pfn):
            fetch_add(h.ctl, CTL_FREE + node, 1)
            return


@kernel
def get_frame(h: Any, pfn: int) -> bool:
    """Take a reference unless the frame is free. Source: get_page_unless_zero."""
    while True:
        word = load(h.frames, pfn)
        if word & COUNT_MASK == 0:
            return False
        if cas(h.frames, pfn, word, word + 1):
            return True


@kernel
def _announce_stale(h: Any, node: int) -> None:
    """Before a KSM frame is freed: its node is about to become stale. Before, so that a crash leaves one too many."""
    if node != 0 and node != NO_NODE:
        fetch_add(h.ctl, CTL_STALE, 1)


@kernel
def put_frame(h: Any, pfn: int) -> None:
    """Drop a reference; the last one frees the frame, and with it its mark as KSM frame."""
    if pfn == 0:
        return
    while True:
        word = load(h.frames, pfn)
        if word & COUNT_MASK == 1:
            _announce_stale(h, word >> NODE_SHIFT)
            if cas(h.frames, pfn, word, 0):
                push_free(h, pfn)
                return
        elif cas(h.frames, pfn, word, word - 1):
            return


@kernel
def frames_in_use(h: Any) -> int:
    """Frames that hold somebody's bytes now; those of the pool do not."""
    used = 0
    for place in range(load(h.ctl, CTL_POOL)):
        if load(h.pool, place) != 0:
            used -= 1
    for node in range(h.ctl[CTL_NODES]):
        first = max(1, node * h.ctl[CTL_PER_NODE])
        used += load(h.ctl, CTL_FRESH + node) - first - load(h.ctl, CTL_FREE + node)
    return used


@kernel
def room(h: Any) -> int:
    """Frames that can be had, those of the pool left out."""
    free = 0
    for node in range(h.ctl[CTL_NODES]):
        end = min((node + 1) * h.ctl[CTL_PER_NODE], h.ctl[CTL_FRAMES])
        free += max(0, end - load(h.ctl, CTL_FRESH + node)) + load(h.ctl, CTL_FREE + node)
    return free
