"""The ways in which two pages become one.

Source: mm/ksm.c:try_to_merge_one_page, try_to_merge_with_ksm_page, try_to_merge_two_pages,
try_to_merge_with_zero_page (v6.18), behaviour only.
"""

from __future__ import annotations

from oracle import faults, rmap
from oracle.objects import Frame, Ksm, RmapItem


def into(ksm: Ksm, item: RmapItem, frame: Frame, merged: Frame | None) -> bool:
    """Let item's page map a merged page instead of frame; None: make frame itself a merged page."""
    assert item.mm.candidate(item.page) is frame, "nobody unmaps while ksmd scans"
    if not _one(item, frame, merged):
        return False
    rmap.remove(ksm, item)
    return True


def two(ksm: Ksm, item: RmapItem, frame: Frame, other: RmapItem, other_frame: Frame) -> bool:
    """Merge two pages that were not merged: frame stays, other_frame goes."""
    if not into(ksm, item, frame, None):
        return False
    if not into(ksm, other, other_frame, frame):
        faults.unshare(item.mm, item.page)
        if ksm.version >= (7, 3):
            item.forget()
        return False
    return True


def with_zero(ksm: Ksm, item: RmapItem, frame: Frame) -> bool:
    """Let item's page map the zero page, and remember, since Linux 6.6, that ksmd did it."""
    if not _one(item, frame, item.mm.zero):
        return False
    if ksm.version >= (6, 6):
        item.mm.ksm_zeros.add(item.page)
    return True


def _one(item: RmapItem, frame: Frame, merged: Frame | None) -> bool:
    """Replace frame by merged at item's page, contents being equal. A page that is merged already stays."""
    if frame is merged:
        return True
    if frame.ksm:
        return False
    if merged is None:
        frame.ksm = True
        return True
    if frame.data != merged.data:
        return False
    item.mm.map(item.page, merged)
    return True
