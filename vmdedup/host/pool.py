"""Frames set aside, so that which one is taken next is a matter of chance. Kernels only.

A frame drawn from the pool leaves its place to one that has just been allocated. Whoever draws exchanges the two in one
step and uses the drawn one after that, so a place never names a frame that somebody else uses, whoever is killed when.
The pool is free memory, and counted as that: when there is no other, alloc_frame takes from it, and chance ends.
Source of the idea: Oliverio and others, VUsion, SOSP 2017, randomised allocation.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.frames import NO_FRAME, alloc_frame, put_frame
from vmdedup.host.layout import CTL_DRAW, CTL_POOL
from vmdedup.jit.atomic import cas, load, store
from vmdedup.jit.kernel import kernel

_FACTOR, _SUMMAND, _STATES = 1103515245, 12345, 0x7FFFFFFF  # of a linear congruential generator of 31 bits
_WEAK_BITS = 8  # its low bits have short periods


@kernel
def _draw(h: Any) -> int:
    """A number of 23 bits. It decides where content lies, never what is done with it."""
    while True:
        state = load(h.ctl, CTL_DRAW)
        following = (state * _FACTOR + _SUMMAND) & _STATES
        if cas(h.ctl, CTL_DRAW, state, following):
            return following >> _WEAK_BITS


@kernel
def draw_frame(h: Any, node: int) -> int:
    """As alloc_frame, but from a place of the pool chosen by chance, if there is a pool."""
    fresh = alloc_frame(h, node)
    places = load(h.ctl, CTL_POOL)
    if fresh == NO_FRAME or places == 0:
        return fresh
    place = _draw(h) % places
    while True:
        pfn = load(h.pool, place)
        if pfn == 0:
            return fresh
        if cas(h.pool, place, pfn, fresh):
            h.news[pfn] = 1
            return pfn


@kernel
def fill_pool(h: Any, places: int) -> None:
    """See to it that so many places have a frame, as far as there is memory. For the scanner alone."""
    store(h.ctl, CTL_POOL, places)
    for place in range(places):
        if load(h.pool, place) == 0:
            pfn = alloc_frame(h, 0)
            if pfn == NO_FRAME:
                break
            store(h.pool, place, pfn)


@kernel
def drain_pool(h: Any) -> None:
    """Free all that the pool has. For the scanner alone."""
    store(h.ctl, CTL_POOL, 0)
    for place in range(len(h.pool)):
        while True:
            pfn = load(h.pool, place)
            if pfn == 0:
                break
            if cas(h.pool, place, pfn, 0):
                put_frame(h, pfn)
                break
