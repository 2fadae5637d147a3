"""NUMA nodes: where frames are, and moving them. A frame that moves is the same frame somewhere else.

Source: mm/migrate.c:do_pages_move, mm/ksm.c:rmap_walk_ksm (v6.18), behaviour only.
"""

from __future__ import annotations

from errno import EACCES, EBUSY, EFAULT, ENOENT

from oracle.objects import Frame, Ksm, Mm

NOT_WRITTEN = -999


def where(ksm: Ksm, mm: Mm, page: int) -> int:
    """Return the node of a page, or an error: -EFAULT for the zero page, and for whatever is not mapped."""
    if page not in mm.mapped:
        return -EFAULT
    frame = mm.ptes.get(page)
    if frame is None:
        return -ENOENT if ksm.version >= (6, 12) else -EFAULT
    return -EFAULT if frame is mm.zero else frame.nid


def move(ksm: Ksm, living: list[Mm], mm: Mm, pages: range, nid: int, everybody: bool) -> tuple[int, list[int]]:
    """move_pages(2): return what it returns, and the statuses.

    Pages are put aside one after another; a page that cannot be ends the batch, which is moved then. If not all of a
    batch can be moved the call ends, without statuses for the batch.
    """
    statuses = [NOT_WRITTEN] * len(pages)
    batch: dict[int, Frame] = {}
    for place, page in enumerate(pages):
        status = where(ksm, mm, page)
        if status >= 0 and status != nid:
            frame = mm.ptes[page]
            if frame.mapcount > 1 and not everybody:
                status = -EACCES
            elif frame in batch.values():
                status = -EBUSY
            else:
                batch[place] = frame
                continue
        statuses[place] = status
        left = _move_batch(ksm, living, batch, nid, statuses)
        if left:
            return left + len(pages) - place - 1, statuses
    left = _move_batch(ksm, living, batch, nid, statuses)
    return (left - 1 if left and ksm.version < (6, 1) else left), statuses


def _move_batch(ksm: Ksm, living: list[Mm], batch: dict[int, Frame], nid: int, statuses: list[int]) -> int:
    """Move the frames of a batch, and forget it. Returns how many stay where they are."""
    staying = [frame for frame in batch.values() if frame.ksm and not _all_found(living, frame)]
    for place, frame in batch.items():
        if frame not in staying:
            frame.nid = nid
        if not staying:
            statuses[place] = nid
    batch.clear()
    return len(staying)


def _all_found(living: list[Mm], frame: Frame) -> bool:
    """Whether each mapping of a merged page is found by way of its node's items.

    An item leads to its own process, and to all that were forked from it, at the item's address.
    """
    mappings = [(mm, page) for mm in living for page, other in mm.ptes.items() if other is frame]
    return frame.node is not None and all(is_found(frame, mm, page) for mm, page in mappings)


def is_found(frame: Frame, mm: Mm, page: int) -> bool:
    """Whether a mapping of a merged page is found by way of its node's items."""
    ancestor: Mm | None = mm
    while ancestor is not None:
        if any(item.page == page and item.node is frame.node for item in ancestor.items):
            return True
        ancestor = ancestor.parent
    return False
