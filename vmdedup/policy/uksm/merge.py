"""What becomes of a page that is visited. Kernels only. Source: uksm 0.1.2.6, cmp_and_merge_page."""

from __future__ import annotations

from typing import Any

from vmdedup.host.frames import get_frame, put_frame
from vmdedup.host.layout import BLOCK_SHIFT
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import same_page
from vmdedup.policy.sharing import DIFFERS, SHARED, frame_of, is_shared, make_shared
from vmdedup.policy.uksm.index import chain_of, depth_of, is_crowded, link, link_top, top_chain_of, unlink
from vmdedup.policy.uksm.known import forget_page, hash_page, is_known_not_empty, note_not_empty, top_of_page
from vmdedup.policy.uksm.layout import (
    COMPARED,
    COWED,
    GIVEN_UP,
    HAS_TOP,
    LINKED,
    MERGED,
    OWN_TOP,
    PAGES_MERGED,
    STALE,
    STEPS,
    STRENGTH,
    TAKEN,
    ZERO_KEY,
    ZERO_MERGED,
)
from vmdedup.policy.uksm.partial import change_strength, rekey
from vmdedup.policy.uksm.stable import (
    COLLIDED,
    JOINED,
    MISSED,
    STOPPED,
    index_frame,
    insert_stable,
    join_frame,
    join_stable,
    note_collision,
    own_top,
)


@kernel
def merge_page(h: Any, u: Any, entry: int) -> bool:
    """Look at one page. False: it has no content, or its guest is at work on it."""
    unlink(u.unstable, entry)
    pfn = frame_of(h, entry)
    if pfn == 0:
        return False
    if is_shared(h, pfn):
        if not u.stable.flags[pfn] & LINKED:
            index_frame(h, u, pfn)  # one before it left it so
        return True
    if u.unstable.flags[entry] & MERGED:
        note_cow(u, entry)
    key = hash_page(h, u, entry, pfn)
    u.state[OWN_TOP] = -1
    result = _join_zero(h, u, entry, pfn) if key == u.state[ZERO_KEY] else MISSED
    if result == MISSED:
        u.found[STEPS] += depth_of(u.stable)
        result = join_stable(h, u, entry, pfn, key)
    if result == MISSED:
        u.found[STEPS] += depth_of(u.unstable)
        result = _join_unstable(h, u, entry, pfn, key)
    if result == JOINED:
        _note_merge(u, entry)
    return True


@kernel
def note_cow(u: Any, entry: int) -> None:
    """A page that was merged has a frame of its own again."""
    u.unstable.flags[entry] &= ~MERGED & 255
    slot = u.slot_of[entry >> BLOCK_SHIFT]
    u.slots[slot]["cowed"] += 1
    u.slots[slot]["lost"] += 1
    u.found[COWED] += 1


@kernel
def _note_merge(u: Any, entry: int) -> None:
    slot = u.slot_of[entry >> BLOCK_SHIFT]
    u.unstable.flags[entry] |= MERGED
    u.slots[slot]["merged"] += 1
    u.slots[slot]["gained"] += 1
    u.found[PAGES_MERGED] += 1


@kernel
def _join_zero(h: Any, u: Any, entry: int, pfn: int) -> int:
    """Map an empty page to the zero page."""
    u.found[COMPARED] += 1
    result = DIFFERS if is_known_not_empty(h, u, entry, pfn) else join_frame(h, u, entry, 0)
    if result == SHARED:
        u.found[ZERO_MERGED] += 1
        return JOINED
    if result != DIFFERS:
        return STOPPED
    note_not_empty(h, u, entry, pfn)
    note_collision(u)
    return MISSED


@kernel
def _join_unstable(h: Any, u: Any, entry: int, pfn: int, key: int) -> int:
    """Merge with a page that had the same content when it was visited; else the page waits in the index itself."""
    if not is_crowded(u.unstable, key):
        other = u.unstable.heads[chain_of(u.unstable, key)]
        while other != 0:
            following = u.unstable.next[other]
            if u.unstable.key[other] == key and not u.unstable.flags[other] & HAS_TOP:
                result = _try_unstable(h, u, entry, pfn, key, other)
                if result in (JOINED, STOPPED):
                    return result
                if result == COLLIDED:
                    _crowd(h, u, key)
                    break
            other = following
    if is_crowded(u.unstable, key):
        return _join_second(h, u, entry, pfn, key)
    link(u.unstable, entry, key)
    return MISSED


@kernel
def _join_second(h: Any, u: Any, entry: int, pfn: int, key: int) -> int:
    top = own_top(h, u, entry, pfn, key)
    other = u.unstable.heads[top_chain_of(u.unstable, key, top)]
    while other != 0:
        following = u.unstable.next[other]
        alike = u.unstable.key[other] == key and u.unstable.top[other] == top
        if alike and u.unstable.flags[other] & HAS_TOP:
            result = _try_unstable(h, u, entry, pfn, key, other)
            if result == COLLIDED:
                u.found[GIVEN_UP] += 1
                return STOPPED
            if result != MISSED:
                return result
        other = following
    link_top(u.unstable, entry, key, top)
    return MISSED


@kernel
def _try_unstable(h: Any, u: Any, entry: int, pfn: int, key: int, other: int) -> int:
    """A page in the index had the same hash: compare the bytes; if they differ it may have changed since."""
    other_pfn = frame_of(h, other)
    if other_pfn == 0 or is_shared(h, other_pfn):
        return _drop(u, other)
    if other_pfn == pfn:
        return STOPPED  # one frame already, by a fork
    u.found[COMPARED] += 1
    if same_page(h.words, pfn, h.words, other_pfn):
        return _merge_two(h, u, entry, other)
    note_collision(u)
    if change_strength(h.words, u, other_pfn, 0, 0, u.state[STRENGTH]) != key:
        return _drop(u, other)
    return COLLIDED


@kernel
def _crowd(h: Any, u: Any, key: int) -> None:
    """Move what is in a hash's chain into the second level; what has changed meanwhile is not found there either."""
    chain = chain_of(u.unstable, key)
    u.unstable.crowded[chain] = 1
    other = u.unstable.heads[chain]
    while other != 0:
        following = u.unstable.next[other]
        if not u.unstable.flags[other] & HAS_TOP:
            unlink(u.unstable, other)
            pfn = frame_of(h, other)
            if pfn != 0:
                own = u.unstable.key[other]
                link_top(u.unstable, other, own, top_of_page(h, u, other, pfn, own))
        other = following


@kernel
def _drop(u: Any, other: int) -> int:
    """A page in the index has changed, or has gone."""
    unlink(u.unstable, other)
    u.found[STALE] += 1
    return MISSED


@kernel
def _merge_two(h: Any, u: Any, entry: int, other: int) -> int:
    """Make the frame of the page in the index a shared one and map the page at hand to it."""
    kpfn = frame_of(h, other)
    if kpfn == 0 or not get_frame(h, kpfn):
        return STOPPED
    result = STOPPED
    forget_page(u, other)
    if make_shared(h, other, kpfn):
        unlink(u.unstable, other)
        if join_frame(h, u, entry, kpfn) == SHARED:
            # Not by the hash that led here: both pages may have been stored to since, and be equal all the same. This
            # look is for our own books, and not billed.
            insert_stable(h, u, kpfn, rekey(h.words, u, kpfn, 0, 0, u.state[STRENGTH]))
            u.unstable.flags[other] |= MERGED
            u.slots[u.slot_of[other >> BLOCK_SHIFT]]["gained"] += 1
            u.found[TAKEN] += 1
            result = JOINED
        else:
            index_frame(h, u, kpfn)  # one of them was stored to meanwhile; others may join it yet
    put_frame(h, kpfn)
    return result
