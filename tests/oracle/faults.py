"""What processes do to their memory, and the faults that follow. ksmd is told of advice, fork and exit only.

Source: mm/memory.c, mm/ksm.c:ksm_madvise, ksm_fork, __ksm_enter, __ksm_exit (v6.18), behaviour only.
"""

from __future__ import annotations

from collections.abc import Iterable

from oracle import counters
from oracle.objects import Frame, Ksm, Mm


def write(mm: Mm, page: int, offset: int, data: bytes) -> None:
    """Store bytes. A merged or shared page, a zero page or none becomes the process's own frame first."""
    frame = mm.ptes.get(page, mm.zero)
    if frame is mm.zero or frame.ksm or frame.mapcount > 1:
        frame = Frame(frame.data)
        mm.map(page, frame)
    frame.data = frame.data[:offset] + data + frame.data[offset + len(data) :]


def read(mm: Mm, page: int) -> bytes:
    """Load a page. An untouched page maps the zero page from then on."""
    if page not in mm.ptes:
        mm.map(page, mm.zero)
    return mm.ptes[page].data


def unshare(mm: Mm, page: int) -> None:
    """Give the process a private copy of what ksmd placed there: a merged page or a zero page."""
    frame = mm.ptes.get(page)
    if frame is not None and (frame.ksm or page in mm.ksm_zeros):
        mm.map(page, Frame(frame.data))


def advise(ksm: Ksm, mm: Mm, pages: Iterable[int]) -> None:
    """madvise(MADV_MERGEABLE)."""
    fresh = set(pages) - mm.mergeable
    if fresh and not mm.on_list:
        enter(ksm, mm)
    mm.mergeable |= fresh


def unadvise(mm: Mm, pages: Iterable[int]) -> None:
    """madvise(MADV_UNMERGEABLE)."""
    for page in mm.mergeable.intersection(pages):
        unshare(mm, page)
        mm.mergeable.remove(page)


def munmap(mm: Mm, pages: Iterable[int]) -> None:
    """munmap: neither mapping nor advice remains."""
    for page in pages:
        mm.unmap(page)
        mm.mapped.discard(page)
        mm.mergeable.discard(page)


def fork(ksm: Ksm, parent: Mm, name: str) -> Mm:
    """Return a child that shares every frame and every zero page of the parent, and its advice."""
    child = Mm(name, 0, parent.zero)
    child.mapped = set(parent.mapped)
    child.mergeable = set(parent.mergeable)
    for page, frame in parent.ptes.items():
        child.map(page, frame)
    child.ksm_zeros = set(parent.ksm_zeros)
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
    munmap(mm, list(mm.mapped))
