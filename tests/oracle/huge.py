"""Huge pages: how they come to be, how they end, and khugepaged. Frames of one huge page know their folio.

Source: mm/huge_memory.c, mm/khugepaged.c, Documentation/admin-guide/mm/transhuge.rst (v6.18), behaviour only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from oracle.objects import HUGE, ZEROS, Folio, Frame, Ksm, Mm


def chunk_of(page: int) -> int:
    """The number of the two megabytes that a page lies in."""
    return page // HUGE


def pages_of(chunk: int) -> range:
    """The pages of two megabytes."""
    return range(chunk * HUGE, (chunk + 1) * HUGE)


def may_be_huge(ksm: Ksm, mm: Mm, chunk: int) -> bool:
    """Whether all of two megabytes lies in one mapping that may have huge pages."""
    kinds = {mm.kind(page) for page in pages_of(chunk)}
    return len(kinds) == 1 and _is_allowed(ksm, mm, chunk)


def _is_allowed(ksm: Ksm, mm: Mm, chunk: int) -> bool:
    page = chunk * HUGE
    if page not in mm.mapped or page in mm.nohuge or ksm.thp == "never":
        return False
    return ksm.thp == "always" or page in mm.huge


def fault(ksm: Ksm, mm: Mm, page: int, store: bool) -> bool:
    """Put a huge page, or (for a load) the huge zero page, where nothing is yet. False: that cannot be."""
    chunk = chunk_of(page)
    is_zero = chunk in mm.pmds and mm.pmds[chunk] is None
    if is_zero and store and ksm.version < (6, 13):
        split_pmd(ksm, mm, chunk)
        return False
    if not is_zero and (chunk in mm.pmds or chunk in mm.tables or not may_be_huge(ksm, mm, chunk)):
        return False
    mm.has_stored = True
    if store:
        _place(mm, chunk, Folio([Frame() for _ in pages_of(chunk)]))
        ksm.vmstat["thp_fault_alloc"] += 1
    else:
        for each in pages_of(chunk):
            mm.map(each, mm.zero)
        mm.pmds[chunk] = None
        mm.tables.discard(chunk)
    return True


def _place(mm: Mm, chunk: int, folio: Folio) -> None:
    """Map a new huge page, instead of whatever was there."""
    for page, frame in zip(pages_of(chunk), folio.frames, strict=True):
        frame.folio, frame.nid = folio, mm.home
        mm.map(page, frame)
        mm.writable.add(page)
    folio.mms = [mm]
    mm.pmds[chunk] = folio
    mm.tables.discard(chunk)


def split_pmd(ksm: Ksm, mm: Mm, chunk: int) -> None:
    """Map a huge page by single entries from now on; it stays one. Nothing where none is mapped as a whole."""
    if chunk in mm.pmds:
        del mm.pmds[chunk]
        mm.tables.add(chunk)
        ksm.vmstat["thp_split_pmd"] += 1


def split_at_ends(ksm: Ksm, mm: Mm) -> None:
    """Split what a mapping now ends within."""
    for chunk in list(mm.pmds):
        if len({mm.kind(page) for page in pages_of(chunk)}) > 1:
            split_pmd(ksm, mm, chunk)


def split(ksm: Ksm, folio: Folio, held: Iterable[Frame] = ()) -> bool:
    """Make single pages of a huge one, wherever it is mapped.

    held: frames that somebody holds, besides the one that this is done for: none of its own, or it is refused.
    """
    if any(frame.folio is folio for frame in held) or not _unmap(ksm, folio):
        ksm.vmstat["thp_split_page_failed"] += 1
        return False
    ksm.vmstat["thp_split_page"] += 1
    for mm, page, frame in list(_mappings(folio)):
        if ksm.version >= (6, 12) and frame.data == ZEROS:
            mm.map(page, mm.zero)
    for frame in folio.frames:
        frame.folio = None
    return True


def _unmap(ksm: Ksm, folio: Folio) -> bool:
    """Have it mapped by single entries everywhere. False: the walk over those who map it ended before its time."""
    mappers = [mm for mm in folio.mms if any(True for _ in _mappings(folio, [mm]))]
    for number, mm in enumerate(mappers):
        for chunk in [chunk for chunk, mapped in mm.pmds.items() if mapped is folio]:
            split_pmd(ksm, mm, chunk)
            if (6, 15) <= ksm.version < (7, 0):
                return number == len(mappers) - 1
    return True


def _mappings(folio: Folio, mms: list[Mm] | None = None) -> Iterator[tuple[Mm, int, Frame]]:
    for mm in folio.mms if mms is None else mms:
        for page, frame in list(mm.ptes.items()):
            if frame.folio is folio:
                yield mm, page, frame


def may_store_in_place(ksm: Ksm, mm: Mm, page: int) -> bool:
    """Whether a store needs no copy, for a page of a huge one. What is mapped as a whole may be split by it."""
    chunk, frame = chunk_of(page), mm.ptes[page]
    folio = frame.folio
    assert folio is not None
    if page in mm.writable:
        return True
    if chunk in mm.pmds:
        if all(each.mapcount == 1 for each in folio.frames):
            mm.writable.update(pages_of(chunk))
            return True
        split_pmd(ksm, mm, chunk)
    mapped = sum(each.mapcount for each in folio.frames)
    if ksm.version >= (6, 15):
        return all(other is mm for other, _, _ in _mappings(folio))
    return mapped == 1


def discard(ksm: Ksm, mm: Mm, lo: int, hi: int) -> None:
    """madvise(MADV_DONTNEED) of pages lo to hi. Whole tables go, too, since Linux 6.14."""
    for chunk in range(chunk_of(lo), chunk_of(hi) + 1):
        pages = pages_of(chunk)
        whole = lo <= pages[0] and pages[-1] <= hi
        if whole and chunk in mm.pmds:
            del mm.pmds[chunk]
        elif whole and ksm.version >= (6, 14):
            mm.tables.discard(chunk)
        split_pmd(ksm, mm, chunk)
        for page in pages:
            if lo <= page <= hi:
                mm.unmap(page)


def collapse(ksm: Ksm, mm: Mm, lo: int, hi: int) -> bool:
    """madvise(MADV_COLLAPSE), mapping by mapping. False: EINVAL, of the first that refuses."""
    if ksm.version < (6, 1):
        return False
    start = lo
    while start <= hi:
        first = end = start
        while first > 0 and mm.kind(first - 1) == mm.kind(start):
            first -= 1
        while end < mm.pages and mm.kind(end) == mm.kind(start):
            end += 1
        if not _collapse_in(ksm, mm, range(first, end), range(start, min(hi + 1, end))):
            return False
        start = end
    return True


def _collapse_in(ksm: Ksm, mm: Mm, mapping: range, wanted: range) -> bool:
    """What of the wanted pages lies in whole two megabytes. A mapping that has none refuses, as do less than one."""
    chunks = [chunk for chunk in range(mm.pages // HUGE) if set(pages_of(chunk)) <= set(mapping)]
    if wanted[0] in mm.nohuge or not chunks or not mm.has_stored:
        return False
    first, end = -(-wanted[0] // HUGE), (wanted[-1] + 1) // HUGE
    done = [_collapse(ksm, mm, chunk) for chunk in range(first, end)]
    return (first <= end or ksm.version >= (7, 0)) and all(done)


def _collapse(ksm: Ksm, mm: Mm, chunk: int) -> bool:
    if chunk in mm.pmds:
        return True
    if chunk not in mm.tables or not (ksm.version >= (6, 18) or mm.writable.intersection(pages_of(chunk))):
        return False
    _put_together(ksm, mm, chunk)
    return True


def _put_together(ksm: Ksm, mm: Mm, chunk: int) -> None:
    """Copy everything into a new huge page."""
    data = [mm.ptes[page].data if page in mm.ptes else ZEROS for page in pages_of(chunk)]
    _place(mm, chunk, Folio([Frame(each) for each in data]))
    ksm.vmstat["thp_collapse_alloc"] += 1


def khugepaged(ksm: Ksm, mms: Iterable[Mm]) -> None:
    """Put together whatever khugepaged would, given time enough."""
    for mm in mms:
        for chunk in sorted(mm.tables):
            if may_be_huge(ksm, mm, chunk) and _is_worth_while(ksm, mm, chunk):
                _put_together(ksm, mm, chunk)


def _is_worth_while(ksm: Ksm, mm: Mm, chunk: int) -> bool:
    """Not too much of it empty, or shared; and somebody has stored there."""
    frames = [mm.ptes.get(page, mm.zero) for page in pages_of(chunk)]
    empty = sum(frame is mm.zero for frame in frames)
    shared = sum(frame is not mm.zero and frame.mapcount > 1 for frame in frames)
    if empty > ksm.khugepaged["max_ptes_none"] or shared > ksm.khugepaged["max_ptes_shared"]:
        return False
    return ksm.version >= (6, 18) or bool(mm.writable.intersection(pages_of(chunk)))
