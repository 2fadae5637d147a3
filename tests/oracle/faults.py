"""What processes do to their memory, and the faults that follow. ksmd is told of advice, fork and exit only.

Source: mm/memory.c, mm/ksm.c:ksm_madvise, ksm_fork, __ksm_enter, __ksm_exit (v6.18), behaviour only.
"""

from __future__ import annotations

from collections.abc import Iterable

from oracle import counters, huge, swap
from oracle.objects import Frame, Ksm, Mm


def write(ksm: Ksm, mm: Mm, page: int, offset: int, data: bytes) -> None:
    """Store bytes. A merged or shared page, a zero page or none becomes the process's own frame first."""
    mm.has_stored = True
    if page in mm.swapped:
        swap.bring_in(ksm, mm, page)
    if page not in mm.ptes or mm.ptes[page] is mm.zero:
        huge.fault(ksm, mm, page, store=True)
    frame = mm.ptes.get(page, mm.zero)
    if not _is_own(ksm, mm, page, frame):
        ksm.vmstat["cow_ksm"] += frame.ksm
        frame = Frame(frame.data, mm.home)
        mm.map(page, frame)
    mm.writable.add(page)
    frame.data = frame.data[:offset] + data + frame.data[offset + len(data) :]


def _is_own(ksm: Ksm, mm: Mm, page: int, frame: Frame) -> bool:
    """Whether a page may be stored to where it is."""
    if frame.folio is not None:
        return huge.may_store_in_place(ksm, mm, page)
    return frame is not mm.zero and not frame.ksm and frame.mapcount == 1 and frame.slot is None


def read(ksm: Ksm, mm: Mm, page: int) -> bytes:
    """Load a page. An untouched page maps the zero page from then on."""
    if page in mm.swapped:
        swap.bring_in(ksm, mm, page)
    if page not in mm.ptes and not huge.fault(ksm, mm, page, store=False):
        mm.map(page, mm.zero)
    return mm.ptes[page].data


def unshare(ksm: Ksm, mm: Mm, page: int) -> None:
    """Give the process a private copy of what ksmd placed there: a merged page or a zero page."""
    frame = mm.ptes.get(page)
    if frame is not None and (frame.ksm or page in mm.ksm_zeros):
        ksm.vmstat["cow_ksm"] += frame.ksm
        mm.map(page, Frame(frame.data, mm.home))
        if ksm.version < (6, 2):
            mm.writable.add(page)


def advise(ksm: Ksm, mm: Mm, pages: Iterable[int]) -> None:
    """madvise(MADV_MERGEABLE)."""
    fresh = set(pages) - mm.mergeable
    if fresh and not mm.on_list:
        enter(ksm, mm)
    mm.mergeable |= fresh
    huge.split_at_ends(ksm, mm)


def merge_all(ksm: Ksm, mm: Mm) -> None:
    """What PR_SET_MEMORY_MERGE does at first."""
    if not mm.on_list:
        enter(ksm, mm)
    mm.mergeable |= mm.mapped


def unadvise(ksm: Ksm, mm: Mm, pages: Iterable[int]) -> None:
    """madvise(MADV_UNMERGEABLE)."""
    for page in mm.mergeable.intersection(pages):
        unshare(ksm, mm, page)
        mm.mergeable.remove(page)
    huge.split_at_ends(ksm, mm)


def munmap(ksm: Ksm, mm: Mm, lo: int, hi: int) -> None:
    """munmap: neither mapping nor advice remains."""
    huge.discard(ksm, mm, lo, hi)
    for of in (mm.mapped, mm.mergeable, mm.huge, mm.nohuge):
        of.difference_update(range(lo, hi + 1))


def fork(ksm: Ksm, parent: Mm, name: str) -> Mm:
    """Return a child that shares every frame and every zero page of the parent, and its advice."""
    child = Mm(name, parent.pages, parent.zero, parent.home, parent)
    child.merges_all = parent.merges_all
    child.mapped = set(parent.mapped)
    child.mergeable, child.huge, child.nohuge = set(parent.mergeable), set(parent.huge), set(parent.nohuge)
    for page, frame in parent.ptes.items():
        child.map(page, frame)
        if frame.folio is not None and child not in frame.folio.mms:
            frame.folio.mms.append(child)
    child.swapped = dict(parent.swapped)
    for slot in child.swapped.values():
        slot.entries += 1
    parent.writable.clear()
    child.ksm_zeros, child.pmds = set(parent.ksm_zeros), dict(parent.pmds)
    child.tables, child.has_stored = set(parent.tables), parent.has_stored
    if parent.on_list:
        enter(ksm, child)
        if ksm.version < (6, 12):
            child.surplus = counters.records(parent)
    return child


def enter(ksm: Ksm, mm: Mm) -> None:
    """Put an address space on ksmd's list, just before the cursor: it is visited last in this scan."""
    mm.on_list = True
    if ksm.cursor is None or ksm.knobs.run == 2:
        ksm.mms.append(mm)
    else:
        ksm.mms.insert(ksm.mms.index(ksm.cursor), mm)


def leave(ksm: Ksm, mm: Mm) -> None:
    """End a process. What ksmd still knows of it makes it the next that ksmd comes to."""
    if mm.on_list and mm is not ksm.cursor:
        ksm.mms.remove(mm)
        if mm.items:
            after = 0 if ksm.cursor is None else ksm.mms.index(ksm.cursor) + 1
            ksm.mms.insert(after, mm)
        else:
            mm.on_list = False
    mm.alive = False
    for page in list(mm.mapped):
        mm.unmap(page)
    mm.mapped.clear()
    mm.mergeable.clear()
