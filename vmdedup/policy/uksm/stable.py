"""The index of shared frames: joining one, making one, and another strength for all. Kernels only."""

from __future__ import annotations

from typing import Any

from vmdedup.host.frames import get_frame, put_frame
from vmdedup.jit.kernel import kernel
from vmdedup.policy.sharing import DIFFERS, SHARED, is_shared, share_page
from vmdedup.policy.uksm.index import chain_of, is_crowded, link, link_top, top_chain_of, unlink
from vmdedup.policy.uksm.known import forget_page, top_of_page
from vmdedup.policy.uksm.layout import (
    COLLISIONS,
    COMPARE_COST,
    COMPARED,
    GIVEN_UP,
    HAS_TOP,
    LINKED,
    NEGATIVE,
    OWN_TOP,
    REKEYED,
    STRENGTH,
    ZERO_KEY,
)
from vmdedup.policy.uksm.partial import change_strength, strongest

MISSED = 0  # nothing there is equal
JOINED = 1
STOPPED = 2  # given up, or busy: nothing more to be done with the page
COLLIDED = 3  # equal hash, different content


@kernel
def top_of(h: Any, u: Any, pfn: int, key: int) -> int:
    """The strongest hash of a page whose hash of the present strength is known."""
    return change_strength(h.words, u, pfn, key, u.state[STRENGTH], strongest(u))


@kernel
def own_top(h: Any, u: Any, entry: int, pfn: int, key: int) -> int:
    """The same for the page at hand; computed once."""
    if u.state[OWN_TOP] < 0:
        u.state[OWN_TOP] = top_of_page(h, u, entry, pfn, key)
    top: int = u.state[OWN_TOP]
    return top


@kernel
def note_collision(u: Any) -> None:
    """A comparison has failed: what a stronger hash would have spared."""
    u.found[COLLISIONS] += 1
    u.state[NEGATIVE] += u.state[COMPARE_COST]


@kernel
def join_stable(h: Any, u: Any, entry: int, pfn: int, key: int) -> int:
    """Map a page to a shared frame of the same content. JOINED, MISSED or STOPPED."""
    if not is_crowded(u.stable, key):
        kpfn = u.stable.heads[chain_of(u.stable, key)]
        while kpfn != 0:
            following = u.stable.next[kpfn]
            if u.stable.key[kpfn] == key and not u.stable.flags[kpfn] & HAS_TOP:
                result = _try_stable(h, u, entry, kpfn)
                if result in (JOINED, STOPPED):
                    return result
                if result == COLLIDED:
                    _crowd(h, u, key)
                    return _join_second(h, u, entry, pfn, key)
            kpfn = following
        return MISSED
    return _join_second(h, u, entry, pfn, key)


@kernel
def _join_second(h: Any, u: Any, entry: int, pfn: int, key: int) -> int:
    top = own_top(h, u, entry, pfn, key)
    kpfn = u.stable.heads[top_chain_of(u.stable, key, top)]
    while kpfn != 0:
        following = u.stable.next[kpfn]
        alike = u.stable.key[kpfn] == key and u.stable.top[kpfn] == top
        if alike and u.stable.flags[kpfn] & HAS_TOP:
            result = _try_stable(h, u, entry, kpfn)
            if result == COLLIDED:
                u.found[GIVEN_UP] += 1
                return STOPPED
            if result != MISSED:
                return result
        kpfn = following
    return MISSED


@kernel
def join_frame(h: Any, u: Any, entry: int, kpfn: int) -> int:
    """sharing.share_page for a page of which hashes may be known."""
    result = share_page(h, entry, kpfn)
    if result != DIFFERS:
        forget_page(u, entry)
    return result


@kernel
def _try_stable(h: Any, u: Any, entry: int, kpfn: int) -> int:
    """A shared frame has the same hash: compare the bytes."""
    if not is_shared(h, kpfn):
        unlink(u.stable, kpfn)
        return MISSED
    u.found[COMPARED] += 1
    result = join_frame(h, u, entry, kpfn)
    if result == SHARED:
        return JOINED
    if result != DIFFERS:
        return STOPPED
    note_collision(u)
    return COLLIDED


@kernel
def _crowd(h: Any, u: Any, key: int) -> None:
    """Move what is in a hash's chain into the second level."""
    chain = chain_of(u.stable, key)
    u.stable.crowded[chain] = 1
    kpfn = u.stable.heads[chain]
    while kpfn != 0:
        following = u.stable.next[kpfn]
        if not u.stable.flags[kpfn] & HAS_TOP:
            unlink(u.stable, kpfn)
            if is_shared(h, kpfn):
                own = u.stable.key[kpfn]
                link_top(u.stable, kpfn, own, top_of(h, u, kpfn, own))
        kpfn = following


@kernel
def index_frame(h: Any, u: Any, pfn: int) -> None:
    """Put a shared frame into the index, by the content that it has."""
    if not get_frame(h, pfn):
        return
    if is_shared(h, pfn):
        insert_stable(h, u, pfn, change_strength(h.words, u, pfn, 0, 0, u.state[STRENGTH]))
    put_frame(h, pfn)


@kernel
def insert_stable(h: Any, u: Any, pfn: int, key: int) -> None:
    """Put a shared frame with a known hash into the index; one that had that number may be there still."""
    unlink(u.stable, pfn)
    if is_crowded(u.stable, key):
        link_top(u.stable, pfn, key, top_of(h, u, pfn, key))
    else:
        link(u.stable, pfn, key)


@kernel
def change_all(h: Any, u: Any, new: int) -> None:
    """Another strength for every shared frame and for the zero page. The unstable index is emptied by the caller."""
    old = u.state[STRENGTH]
    for chain in range(len(u.stable.heads)):
        u.stable.heads[chain] = 0
        u.stable.crowded[chain] = 0
    u.stable.size[0] = 0
    for pfn in range(1, len(u.stable.flags)):
        if u.stable.flags[pfn] & LINKED:
            u.stable.flags[pfn] = 0
            if is_shared(h, pfn):
                link(u.stable, pfn, change_strength(h.words, u, pfn, u.stable.key[pfn], old, new))
                u.found[REKEYED] += 1
    u.state[ZERO_KEY] = change_strength(h.words, u, 0, u.state[ZERO_KEY], old, new)
    u.state[STRENGTH] = new
