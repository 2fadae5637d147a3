"""Counting what a host's memory holds: who maps what, and what exact sharing would save. Kernels only.

Numbers of pages throughout. Taken while nobody runs (lockstep: between ticks) they are exact.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.absent import frame_behind, kind_of, named_by
from vmdedup.host.layout import COUNT_MASK, FRAME_MASK, FRAME_SHIFT, MM_LIVE, PRESENT, SWAPPED, WHOLE, ZERO
from vmdedup.host.thp import HUGE_PAGES
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import hash_page, same_page


@kernel
def allocated_pages(h: Any, allocated: Any, zero_placed: Any) -> None:
    """Pages with content of their own, and zero pages that KSM placed, of each address space.

    allocated, zero_placed: int64[mms], filled. Pages kept in another form are in the first. Never-touched pages, and
    pages only read, are in neither; placed zero pages are in both.
    """
    for mm in range(len(h.mms)):
        pages = 0
        placed = 0
        if h.mms[mm]["state"] == MM_LIVE:
            first = h.mms[mm]["first"]
            for entry in range(first, first + h.mms[mm]["pages"]):
                e = h.pte[entry]
                if e & ZERO:
                    placed += 1
                    pages += 1
                elif frame_behind(e) != 0 or kind_of(e) != 0:
                    pages += 1
        allocated[mm] = pages
        zero_placed[mm] = placed


@kernel
def count_mappings(h: Any) -> int:
    """How many entries map a counted frame."""
    total = 0
    for mm in range(len(h.mms)):
        if h.mms[mm]["state"] == MM_LIVE:
            first = h.mms[mm]["first"]
            for entry in range(first, first + h.mms[mm]["pages"]):
                if frame_behind(h.pte[entry]) != 0:
                    total += 1
    return total


@kernel
def list_mappings(h: Any, pairs: Any) -> int:
    """Every mapping of a counted frame as pfn << 16 | mm. pairs: int64[count_mappings]. Returns how many."""
    n = 0
    for mm in range(len(h.mms)):
        if h.mms[mm]["state"] == MM_LIVE:
            first = h.mms[mm]["first"]
            for entry in range(first, first + h.mms[mm]["pages"]):
                pfn = frame_behind(h.pte[entry])
                if pfn != 0 and n < len(pairs):
                    pairs[n] = (pfn << 16) | mm
                    n += 1
    return n


@kernel
def share_matrix(h: Any, pairs: Any, matrix: Any, split: Any) -> None:
    """Who shares with whom. pairs: sorted list_mappings.

    matrix: int64[mms, mms]: pages of the row's guest whose frame the column's guest maps too; the diagonal:
    pages that are a further copy inside one guest. split: int64[mms, 3]: pages saved that are zero-filled,
    within the guest, between guests: a frame mapped n times by g guests saves n - g within them and g - 1
    between them (of which each guest but the one with the lowest number is credited with one).
    """
    start = 0
    while start < len(pairs):
        pfn = pairs[start] >> 16
        end = start
        while end < len(pairs) and pairs[end] >> 16 == pfn:
            end += 1
        if end - start > 1:
            _share_frame(h, pairs, start, end, pfn, matrix, split)
        start = end


@kernel
def _share_frame(h: Any, pairs: Any, start: int, end: int, pfn: int, matrix: Any, split: Any) -> None:
    zero = same_page(h.words, pfn, h.words, 0)
    k = start
    while k < end:
        mm = pairs[k] & 0xFFFF
        copies = 0
        while k < end and pairs[k] & 0xFFFF == mm:
            copies += 1
            k += 1
        matrix[mm, mm] += copies - 1
        between = 1 if k - copies > start else 0
        if zero:
            split[mm, 0] += copies - 1 + between
        else:
            split[mm, 1] += copies - 1
            split[mm, 2] += between
        j = start
        while j < end:
            other = pairs[j] & 0xFFFF
            if other != mm:
                matrix[mm, other] += copies
            while j < end and pairs[j] & 0xFFFF == other:
                j += 1


@kernel
def hash_frames(h: Any, hashes: Any) -> int:
    """XXH64 of every frame that is counted. hashes: int64[frames]. Returns how many there are."""
    n = 0
    for pfn in range(1, len(h.frames)):
        if h.frames[pfn] & COUNT_MASK != 0:
            hashes[n] = hash_page(h.words, pfn)
            n += 1
    return n


@kernel
def _look_behind(h: Any, mapped: Any, hashes: Any) -> int:
    """Mark every mapped frame, and list the hashes of pages kept in another form. Returns how many these are."""
    n = 0
    for mm in range(len(h.mms)):
        if h.mms[mm]["state"] == MM_LIVE:
            first = h.mms[mm]["first"]
            for entry in range(first, first + h.mms[mm]["pages"]):
                e = h.pte[entry]
                if frame_behind(e) != 0:
                    mapped[frame_behind(e)] = 1
                elif kind_of(e) != 0:
                    hashes[n] = h.swaps[named_by(e)]["hash"] if kind_of(e) == SWAPPED else h.slots[entry]["hash"]
                    n += 1
    return n


@kernel
def hash_contents(h: Any, mapped: Any, hashes: Any) -> int:
    """XXH64 of every mapped frame, and of every page kept in another form. Returns how many there are.

    mapped: uint8[frames], zeroed. hashes: int64[frames + pages], filled; what is kept comes first.
    """
    n = _look_behind(h, mapped, hashes)
    for pfn in range(1, len(h.frames)):
        if mapped[pfn]:
            hashes[n] = hash_page(h.words, pfn)
            n += 1
    return n


@kernel
def hash_news(h: Any, mapped: Any, known: Any, hashes: Any) -> int:
    """As hash_contents, hashing only frames whose bytes may have changed since this was called last.

    known: int64[frames]: the hash of each frame, as it was left then.
    """
    n = _look_behind(h, mapped, hashes)
    for pfn in range(1, len(h.frames)):
        if mapped[pfn]:
            if h.news[pfn]:
                known[pfn] = hash_page(h.words, pfn)
                h.news[pfn] = 0
            hashes[n] = known[pfn]
            n += 1
    return n


@kernel
def count_distinct(hashes: Any, table: Any) -> int:
    """How many different words there are, 0 left out. table: int64[a power of two, over twice as many], zeroed."""
    mask = len(table) - 1
    found = 0
    for k in range(len(hashes)):
        word = hashes[k]
        if word == 0:
            continue
        place = (word ^ (word >> 29)) & mask
        while table[place] != 0 and table[place] != word:
            place = (place + 1) & mask
        if table[place] == 0:
            table[place] = word
            found += 1
    return found


@kernel
def count_maps(h: Any, maps: Any) -> int:
    """How often each frame is mapped: int32[frames], zeroed. Returns how many entries map one that others do too."""
    total = 0
    for mm in range(len(h.mms)):
        if h.mms[mm]["state"] == MM_LIVE:
            first = h.mms[mm]["first"]
            for entry in range(first, first + h.mms[mm]["pages"]):
                pfn = frame_behind(h.pte[entry])
                if pfn != 0:
                    maps[pfn] += 1
                    if maps[pfn] > 1:
                        total += 2 if maps[pfn] == 2 else 1
    return total


@kernel
def list_shared(h: Any, maps: Any, pairs: Any, singles: Any) -> int:
    """Every mapping of a frame that is mapped more than once, as pfn << 16 | mm; count_maps tells how many there are.

    singles: int64[mms, 2], zeroed: each guest's frames that are mapped once, of them those of zeros only. Returns how
    many are listed.
    """
    n = 0
    for mm in range(len(h.mms)):
        if h.mms[mm]["state"] == MM_LIVE:
            first = h.mms[mm]["first"]
            for entry in range(first, first + h.mms[mm]["pages"]):
                pfn = frame_behind(h.pte[entry])
                if pfn == 0:
                    continue
                if maps[pfn] > 1:
                    pairs[n] = (pfn << 16) | mm
                    n += 1
                else:
                    singles[mm, 1 if h.words[pfn, 0] == 0 and same_page(h.words, pfn, h.words, 0) else 0] += 1
    return n


@kernel
def count_kinds(h: Any, kinds: Any) -> None:
    """Pages kept in another form. kinds: int64[mms, 8], zeroed: of each address space, by kind (host.layout)."""
    for mm in range(len(h.mms)):
        if h.mms[mm]["state"] == MM_LIVE:
            first = h.mms[mm]["first"]
            for entry in range(first, first + h.mms[mm]["pages"]):
                kind = kind_of(h.pte[entry])
                if kind != 0:
                    kinds[mm, kind] += 1


@kernel
def share_totals(h: Any, maps: Any, guests: Any, last: Any, totals: Any) -> None:
    """Pages saved that are zero-filled, within guests, between guests: share_matrix's split, summed up.

    maps, guests, last: int32[frames], zeroed: how often a frame is mapped, by how many guests, by which last.
    totals: int64[3], zeroed.
    """
    for mm in range(1, len(h.mms)):
        if h.mms[mm]["state"] == MM_LIVE:
            first = h.mms[mm]["first"]
            for entry in range(first, first + h.mms[mm]["pages"]):
                pfn = frame_behind(h.pte[entry])
                if pfn != 0:
                    maps[pfn] += 1
                    if last[pfn] != mm:
                        last[pfn] = mm
                        guests[pfn] += 1
    for pfn in range(1, len(maps)):
        if maps[pfn] > 1:
            if same_page(h.words, pfn, h.words, 0):
                totals[0] += maps[pfn] - 1
            else:
                totals[1] += maps[pfn] - guests[pfn]
                totals[2] += guests[pfn] - 1


@kernel
def count_huge(h: Any, counts: Any) -> None:
    """Of all guests. counts: int64[3], zeroed: huge pages that are mapped as such; pages that map the zero page though
    KSM did not put it there (after splits, or only read); pages of zeros inside huge pages."""
    whole = 0
    for mm in range(1, len(h.mms)):
        if h.mms[mm]["state"] == MM_LIVE:
            first = h.mms[mm]["first"]
            for entry in range(first, first + h.mms[mm]["pages"]):
                e = h.pte[entry]
                if not e & PRESENT:
                    continue
                pfn = (e >> FRAME_SHIFT) & FRAME_MASK
                if e & WHOLE and pfn != 0:
                    whole += 1
                    if same_page(h.words, pfn, h.words, 0):
                        counts[2] += 1
                elif pfn == 0 and not e & (ZERO | WHOLE):
                    counts[1] += 1
    counts[0] = whole // HUGE_PAGES
