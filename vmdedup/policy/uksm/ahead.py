"""Asking for what the next visits of a slot will touch, so that their waits for memory overlap. Kernels only.

Nothing is decided: wrong guesses (a page that was stored to has another hash) cost time only.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.layout import FRAME_MASK, FRAME_SHIFT, PRESENT, SOFT
from vmdedup.jit.kernel import kernel
from vmdedup.jit.prefetch import prefetch
from vmdedup.policy.uksm.index import chain_of, top_chain_of
from vmdedup.policy.uksm.layout import HAS_TOP, MERGED, STRENGTH
from vmdedup.policy.uksm.partial import fetch_words

AHEAD = 8  # pages


@kernel
def look_ahead(h: Any, u: Any, slot: int) -> None:
    """Look ahead to the next AHEAD pages of a slot."""
    s = u.slots[slot]
    first = s["first"]
    start, end = first + s["scanned"], first + min(s["scanned"] + AHEAD, s["pages"])
    for place in range(start, end):
        entry = first + u.order[place]
        prefetch(h.pte, entry)
        if not u.unstable.flags[entry] & MERGED:
            prefetch(u.unstable.key, entry)
    waiting = 0
    for place in range(start, end):
        entry = first + u.order[place]
        prefetch(h.frames, (h.pte[entry] >> FRAME_SHIFT) & FRAME_MASK)
        if not u.unstable.flags[entry] & MERGED and u.unstable.strength[entry] != 0:
            _fetch_chains(u, entry)
            waiting += 1
    if waiting > 0:
        for place in range(start, end):
            prefetch(u.unstable.key, u.unstable.heads[_chain(u.unstable, first + u.order[place])])


@kernel
def _fetch_chains(u: Any, entry: int) -> None:
    x = u.unstable
    prefetch(u.stable.heads, chain_of(u.stable, x.key[entry]))
    prefetch(x.heads, _chain(x, entry))
    prefetch(x.key, x.next[entry])
    prefetch(x.key, x.prev[entry])


@kernel
def fetch_next(h: Any, u: Any, slot: int) -> None:
    """Ask for what of the slot's next page will be hashed, while the one before it is looked at."""
    s, x = u.slots[slot], u.unstable
    if s["scanned"] >= s["pages"]:
        return
    entry = s["first"] + u.order[s["first"] + s["scanned"]]
    if x.flags[entry] & MERGED:
        return
    pte = h.pte[entry]
    known = 0 if pte & SOFT else x.strength[entry]
    if pte & PRESENT:
        fetch_words(h.words, u, (pte >> FRAME_SHIFT) & FRAME_MASK, known, u.state[STRENGTH])


@kernel
def _chain(x: Any, entry: int) -> int:
    if x.flags[entry] & HAS_TOP:
        return top_chain_of(x, x.key[entry], x.top[entry])
    return chain_of(x, x.key[entry])
