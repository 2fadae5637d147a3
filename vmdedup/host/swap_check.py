"""Verification of a host's swap device; part of host.check."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vmdedup.host.layout import (
    CACHED_SHIFT,
    COUNT_MASK,
    CTL_SWAP_FRAMES,
    CTL_SWAP_FREE,
    CTL_SWAP_FRESH,
    CTL_SWAP_HEAD,
    FRAME_MASK,
    FRAME_SHIFT,
    MM_LIVE,
    NOWHERE,
    PACKED,
    SWAPPED,
    HostArrays,
)
from vmdedup.host.rebuild import kind_of_all

Require = Callable[[bool, str], None]


def check_swap(h: HostArrays, mapped: np.ndarray, require: Require) -> None:
    """Verify it, and add to mapped, int64[frames], what it counts.

    - a record's count equals the entries that name it; the free list holds all others, once;
    - content is stored, or in the cache; and what is in both is in the cache as it was stored;
    - cells of the pool belong to one record each, and no others are taken.
    """
    fresh = int(h.ctl[CTL_SWAP_FRESH])
    records = h.swaps[:fresh]
    _check_counts(h, records, require)
    used = np.flatnonzero(records["count"] != 0)
    frames, places = records["frame"][used], records["place"][used]
    require(bool(((frames >= 0) & (frames < len(mapped))).all()), "a frame that does not exist is in the swap cache")
    require(bool(((frames != 0) | (places != NOWHERE)).all()), "a swapped page's content is nowhere")
    np.add.at(mapped, frames[frames != 0], 1)
    _check_pool(h, records[used][places == PACKED], mapped, require)
    hints = h.kept >> CACHED_SHIFT
    cached = np.flatnonzero(hints)
    require(bool((records["frame"][hints[cached]] == cached).all()), "a frame is not in the swap cache that it names")


def _check_counts(h: HostArrays, records: np.ndarray, require: Require) -> None:
    named = np.zeros(len(records), np.int64)
    for mm in np.flatnonzero(h.mms["state"] == MM_LIVE).tolist():
        entries = h.pte[int(h.mms[mm]["first"]) :][: int(h.mms[mm]["pages"])]
        names = (entries[kind_of_all(entries) == SWAPPED] >> FRAME_SHIFT) & FRAME_MASK
        require(bool(((names > 0) & (names < len(records))).all()), "an entry names a swap record that does not exist")
        np.add.at(named, names, 1)
    wrong = np.flatnonzero(records["count"] != named)
    if len(wrong):
        record = int(wrong[0])
        require(False, f"swap record {record} counts {records['count'][record]}, {named[record]} entries name it")
    listed = np.zeros(len(records), np.bool_)
    record = int(h.ctl[CTL_SWAP_HEAD]) & COUNT_MASK
    while record:
        require(record < len(records) and not listed[record], f"the free list of swap leads to record {record}")
        listed[record] = True
        record = int(records["link"][record])
    free = int(listed.sum())
    require(free == int(h.ctl[CTL_SWAP_FREE]), "the free list of swap has another length")
    require(bool((listed[1:] == (named[1:] == 0)).all()), "the free list of swap holds other records than are free")


def _check_pool(h: HostArrays, packed: np.ndarray, mapped: np.ndarray, require: Require) -> None:
    taken = np.zeros(len(mapped), np.int64)
    for at, cells in (("at0", "cells0"), ("at1", "cells1")):
        for pfn, bits in zip(packed[at].tolist(), packed[cells].tolist(), strict=True):
            if bits:
                require(0 < pfn < len(taken), "compressed pages lie in a frame that does not exist")
                require(not int(taken[pfn]) & bits, f"two compressed pages have one cell of frame {pfn}")
                taken[pfn] |= bits
    pooled = np.where(h.kept >> CACHED_SHIFT, 0, h.kept)
    require(bool((pooled == taken).all()), "cells of the swap pool are taken that no page has")
    require(int(h.ctl[CTL_SWAP_FRAMES]) == int(np.count_nonzero(taken)), "the swap pool has another number of frames")
    mapped[taken != 0] += 1
