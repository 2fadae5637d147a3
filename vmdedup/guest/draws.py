"""Where small stores and reads go in several heaps, all of a tick drawn in one step. Kernels only.

What is drawn, and in which order, is what guest.seeds.Stream draws where each heap is taken by itself: first pages of
all heaps, sorted; then, heap after heap, the places of its stores, and the words that are stored.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from vmdedup.jit.draw import word
from vmdedup.jit.kernel import kernel

_WORD_BYTES: Final = 8
_PLACES: Final = 4096 // _WORD_BYTES
_U32 = np.uint64(32)


@kernel
def _below(drawn: Any, bound: int) -> Any:
    """A word as a number from 0 to below bound, as Stream.integers has it."""
    return np.int64((drawn >> _U32) * np.uint64(bound) >> _U32)


@kernel
def draw_pages(seed: Any, first: int, ends: Any, pages: Any) -> None:
    """Sorted numbers of pages, counted through all heaps: int64[n], filled. ends: int64[heaps], sums of sizes."""
    bound = ends[len(ends) - 1]
    for k in range(len(pages)):
        page = _below(word(seed, first + k), bound)
        at = k
        while at > 0 and pages[at - 1] > page:
            pages[at] = pages[at - 1]
            at -= 1
        pages[at] = page


@kernel
def draw_stores(seed: Any, first: int, ends: Any, pages: Any, places: Any, words: Any) -> None:
    """Where stores into drawn pages go, and what is stored. places: int64[n]; words: uint64[n, 1]; both filled."""
    k = 0
    heap = 0
    while k < len(pages):
        while pages[k] >= ends[heap]:
            heap += 1
        n = 0
        while k + n < len(pages) and pages[k + n] < ends[heap]:
            n += 1
        for j in range(n):
            places[k + j] = _WORD_BYTES * _below(word(seed, first + j), _PLACES)
            words[k + j, 0] = word(seed, first + n + j)
        first += 2 * n
        k += n


@kernel
def to_places(ends: Any, starts: Any, pages: Any) -> None:
    """From sorted pages, counted through what is taken of each heap, to places in a list of all pages of all heaps.

    starts: int64[heaps], where each heap begins in that list.
    """
    heap = 0
    before = 0
    for k in range(len(pages)):
        while pages[k] >= ends[heap]:
            before = ends[heap]
            heap += 1
        pages[k] += starts[heap] - before
