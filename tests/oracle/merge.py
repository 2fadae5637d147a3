"""The ways in which two pages become one.

Source: mm/ksm.c:try_to_merge_one_page, try_to_merge_with_ksm_page, try_to_merge_two_pages,
try_to_merge_with_zero_page (v6.18), behaviour only.
"""

from __future__ import annotations

from oracle import faults, huge, rmap
from oracle.objects import Frame, Ksm, RmapItem


def into(ksm: Ksm, item: RmapItem, frame: Frame, merged: Frame | None, held: tuple[Frame, ...] = ()) -> bool:
    """Let item's page map a merged page instead of frame; None: make frame itself one. held: see huge.split."""
    assert item.mm.candidate(item.page) is frame, "nobody unmaps while ksmd scans"
    if not _one(ksm, item, frame, merged, held):
        return False
    rmap.remove(ksm, item)
    return True


def two(ksm: Ksm, item: RmapItem, frame: Frame, other: RmapItem, other_frame: Frame) -> bool:
    """Merge two pages that were not merged: frame stays, other_frame goes."""
    if not into(ksm, item, frame, None, held=(other_frame,)):
        return False
    if not into(ksm, other, other_frame, frame):
        faults.unshare(ksm, item.mm, item.page)
        if ksm.version >= (7, 3):
            item.forget()
        return False
    return True


def with_zero(ksm: Ksm, item: RmapItem, frame: Frame) -> bool:
    """Let item's page map the zero page, and remember, since Linux 6.6, that ksmd did it."""
    if not _one(ksm, item, frame, item.mm.zero):
        return False
    if ksm.version >= (6, 6):
        item.mm.ksm_zeros.add(item.page)
    return True


def _one(ksm: Ksm, item: RmapItem, frame: Frame, merged: Frame | None, held: tuple[Frame, ...] = ()) -> bool:
    """Replace frame by merged at item's page, contents being equal. A page that is merged already stays."""
    if frame is merged:
        return True
    if frame.folio is not None and not huge.split(ksm, frame.folio, held):
        return False
    if frame.ksm or item.mm.ptes[item.page] is not frame:
        return False
    item.mm.writable.discard(item.page)
    if merged is None:
        frame.ksm = True
        return True
    if frame.data != merged.data:
        return False
    item.mm.map(item.page, merged)
    return True
