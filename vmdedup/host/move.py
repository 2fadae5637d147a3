"""Moving frames to another NUMA node, under whoever maps them. Kernels only.

    hold_for_move   a frame of the wanted node for each, both held
    protect         every entry that maps one loses its right to write
    copy_moved      contents, KSM mark, huge page; the old frame is a KSM frame of no node from then on
    change_entries  every entry that maps one maps the new frame
    release_moved   both are let go; the old one is free then

`to`: int32[frames], where each frame goes; 0: it stays; below 0: there, and the one page that maps it could be stored
to, and can again. A guest that stores between two of these steps finds its entry read-only and its frame held by two,
so it copies the page and is left out. Whoever keeps numbers of KSM frames (ksmd) has to be told of those that move, so
only it may move these.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.frames import NO_FRAME, alloc_frame_on, frame_count, get_frame, put_frame, set_stable_node
from vmdedup.host.layout import FRAME_MASK, FRAME_SHIFT, MM_LIVE, NO_NODE, NODE_SHIFT, PIN, PRESENT, WRITABLE
from vmdedup.jit.atomic import cas, fetch_add, load
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import copy_page

FRAME_BITS = FRAME_MASK << FRAME_SHIFT
PATIENCE = 10_000_000  # looks at an entry that its owner has pinned; a guest can be killed while it pins


@kernel
def hold_for_move(h: Any, to: Any, pfn: int, node: int) -> bool:
    """Find a place for a frame on a node. False: that is full, or the frame has just been freed."""
    if not get_frame(h, pfn):
        return False
    fresh = alloc_frame_on(h, node)
    if fresh == NO_FRAME:
        put_frame(h, pfn)
        return False
    to[pfn] = fresh
    return True


@kernel
def give_up_move(h: Any, to: Any, pfn: int) -> None:
    """Let a frame that was held stay where it is."""
    put_frame(h, target(to, pfn))
    put_frame(h, pfn)
    to[pfn] = 0


@kernel
def target(to: Any, pfn: int) -> int:
    """Where a frame goes; 0: it stays."""
    return abs(int(to[pfn]))


@kernel
def protect(h: Any, to: Any) -> None:
    """Take the right to store from every page whose frame moves."""
    for mm in range(len(h.mms)):
        if h.mms[mm]["state"] == MM_LIVE:
            first = h.mms[mm]["first"]
            for entry in range(first, first + h.mms[mm]["pages"]):
                _change(h, to, entry, False)


@kernel
def change_entries(h: Any, to: Any) -> None:
    """Let every page whose frame moves map the new one."""
    for mm in range(len(h.mms)):
        if h.mms[mm]["state"] == MM_LIVE:
            first = h.mms[mm]["first"]
            for entry in range(first, first + h.mms[mm]["pages"]):
                _change(h, to, entry, True)


@kernel
def _change(h: Any, to: Any, entry: int, moves: bool) -> None:
    """Write-protect an entry whose frame moves, or let it map the new frame; not while its owner has it pinned."""
    for _ in range(PATIENCE):
        old = load(h.pte, entry)
        pfn = (old >> FRAME_SHIFT) & FRAME_MASK
        if not old & PRESENT or to[pfn] == 0 or (not moves and not old & WRITABLE):
            return
        if not old & PIN and (_move_entry(h, to, entry, old, pfn) if moves else _protect(h, to, entry, old, pfn)):
            return


@kernel
def _protect(h: Any, to: Any, entry: int, old: int, pfn: int) -> bool:
    if not cas(h.pte, entry, old, old & ~WRITABLE):
        return False
    to[pfn] = -target(to, pfn)
    return True


@kernel
def _move_entry(h: Any, to: Any, entry: int, old: int, pfn: int) -> bool:
    fresh = target(to, pfn)
    fetch_add(h.frames, fresh, 1)
    # Held by us, and mapped by this page alone: a fork may have come in between.
    is_alone = frame_count(h, pfn) == 2 and frame_count(h, fresh) == 2
    new = (old & ~FRAME_BITS) | (fresh << FRAME_SHIFT) | (WRITABLE if is_alone and to[pfn] < 0 else 0)
    if not cas(h.pte, entry, old, new):
        put_frame(h, fresh)
        return False
    put_frame(h, pfn)
    return True


@kernel
def copy_moved(h: Any, to: Any) -> None:
    """Copy contents, KSM marks, and of which huge page they are part.

    The marks of the old frames go: nobody shall think that they are still merged.
    """
    for pfn in range(len(to)):
        fresh = target(to, pfn)
        if fresh != 0:
            copy_page(h.words, fresh, h.words, pfn)
            h.folios[fresh] = h.folios[pfn]
            node = load(h.frames, pfn) >> NODE_SHIFT
            if node != 0:
                set_stable_node(h, fresh, node)
                set_stable_node(h, pfn, NO_NODE)


@kernel
def release_moved(h: Any, to: Any) -> int:
    """Let go of all frames that were held. Returns how many old ones somebody maps all the same."""
    left = 0
    for pfn in range(len(to)):
        fresh = target(to, pfn)
        if fresh != 0:
            left += frame_count(h, pfn) > 1
            put_frame(h, pfn)
            put_frame(h, fresh)
    return left
