"""Hashes of pages that nobody has stored to since they were computed. Kernels only.

UKSM hashes a page at every visit. What that gives is known if nobody stored to the page since (SOFT is clear), so the
page is not read again: its hash of an earlier strength is taken to the present one. Nothing is decided by it, and what
is counted, and billed, is what hashing the page would have cost.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.layout import FRAME_MASK, FRAME_SHIFT, PIN, PRESENT, SOFT
from vmdedup.jit.atomic import cas, load
from vmdedup.jit.kernel import kernel
from vmdedup.policy.uksm.layout import HASH_EXTRA, NOT_ZERO, PAGES_HASHED, POSITIVE, STRENGTH, TOP_KNOWN
from vmdedup.policy.uksm.partial import count_words, rekey, strongest


@kernel
def hash_page(h: Any, u: Any, entry: int, pfn: int) -> int:
    """A page's hash of the present strength."""
    strength = u.state[STRENGTH]
    u.state[PAGES_HASHED] += 1
    u.state[POSITIVE] += max(0, len(u.words) - HASH_EXTRA - strength)
    count_words(u, strength)
    x = u.unstable
    old, key = 0, 0
    is_calm = _is_known(h, x, entry, pfn)
    if is_calm and abs(strength - x.strength[entry]) < strength:
        old, key = x.strength[entry], x.key[entry]
    elif not is_calm:
        forget_page(u, entry)
        is_calm = _calm(h, entry, pfn)
    key = rekey(h.words, u, pfn, key, old, strength)
    if is_calm:
        x.key[entry] = key
        x.strength[entry] = strength
    return key


@kernel
def top_of_page(h: Any, u: Any, entry: int, pfn: int, key: int) -> int:
    """The strongest hash of a page whose hash of the present strength is given."""
    x = u.unstable
    count_words(u, strongest(u) - u.state[STRENGTH])
    if x.flags[entry] & TOP_KNOWN and _is_known(h, x, entry, pfn):
        known: int = x.top[entry]
        return known
    top = rekey(h.words, u, pfn, key, u.state[STRENGTH], strongest(u))
    if _is_known(h, x, entry, pfn):
        x.top[entry] = top
        x.flags[entry] |= TOP_KNOWN
    return top


@kernel
def is_known_not_empty(h: Any, u: Any, entry: int, pfn: int) -> bool:
    """Whether a page was compared with the zero page, and differed, since it was last stored to."""
    return u.unstable.flags[entry] & NOT_ZERO != 0 and _is_known(h, u.unstable, entry, pfn)


@kernel
def note_not_empty(h: Any, u: Any, entry: int, pfn: int) -> None:
    """A page has just been compared with the zero page, and differs."""
    if _is_known(h, u.unstable, entry, pfn):
        u.unstable.flags[entry] |= NOT_ZERO


@kernel
def forget_page(u: Any, entry: int) -> None:
    """Nothing is known of a page any more. To be called too when its SOFT bit may have been cleared by merging it."""
    u.unstable.strength[entry] = 0
    u.unstable.flags[entry] &= ~(TOP_KNOWN | NOT_ZERO) & 255


@kernel
def _is_known(h: Any, x: Any, entry: int, pfn: int) -> bool:
    if x.strength[entry] == 0:
        return False
    pte = load(h.pte, entry)
    known: bool = pte & (SOFT | PIN | PRESENT) == PRESENT and (pte >> FRAME_SHIFT) & FRAME_MASK == pfn
    return known


@kernel
def _calm(h: Any, entry: int, pfn: int) -> bool:
    """Clear a page's SOFT bit before it is read, so that a store from now on shows. False: its owner is using it."""
    pte = load(h.pte, entry)
    if pte & (PIN | PRESENT) != PRESENT or (pte >> FRAME_SHIFT) & FRAME_MASK != pfn:
        return False
    calm: bool = cas(h.pte, entry, pte, pte & ~SOFT)
    return calm


@kernel
def first_wrong(h: Any, u: Any) -> int:
    """A page of which another hash is known than it has, while nobody runs; 0: there is none."""
    x = u.unstable
    for entry in range(1, len(x.strength)):
        pfn = (load(h.pte, entry) >> FRAME_SHIFT) & FRAME_MASK
        if pfn != 0 and _is_known(h, x, entry, pfn):
            key = rekey(h.words, u, pfn, 0, 0, x.strength[entry])
            if key != x.key[entry]:
                return entry
            top = rekey(h.words, u, pfn, key, x.strength[entry], strongest(u))
            if x.flags[entry] & TOP_KNOWN and top != x.top[entry]:
                return entry
    return 0
