"""The scanner: which page comes next, batch after batch.

Source: mm/ksm.c:ksm_do_scan, scan_get_next_rmap_item, should_skip_rmap_item (v6.18), behaviour only.
"""

from __future__ import annotations

from oracle import rmap, stable
from oracle.objects import Frame, Ksm, Mm, RmapItem
from oracle.process import process
from oracle.rbtree import Tree

SKIPS = ((3, 1), (5, 2), (8, 4), (255, 8))  # up to this age, so many scans are skipped


def batch(ksm: Ksm, pages: int) -> None:
    """Scan at most `pages` pages; the end of a full scan ends the batch."""
    for _ in range(pages):
        found = _next(ksm)
        if found is None:
            return
        process(ksm, *found)
        ksm.pages_scanned += 1


def _next(ksm: Ksm) -> tuple[RmapItem, Frame] | None:
    """Return the next page to look at, or None at the end of a full scan."""
    if not ksm.mms:
        return None
    if ksm.cursor is None:
        if not ksm.knobs.merge_across_nodes:
            stable.remove_stale_migrated(ksm)
        ksm.unstable = [Tree() for _ in ksm.unstable]  # all at once: nobody visits the old trees' items
        _go_to(ksm, ksm.mms[0])
    while ksm.cursor is not None:
        found = _next_here(ksm, ksm.cursor)
        if found is not None:
            return found
        _finish(ksm, ksm.cursor)
    ksm.seqnr += 1
    return None


def _next_here(ksm: Ksm, mm: Mm) -> tuple[RmapItem, Frame] | None:
    """Return the next page in the cursor's address space."""
    if not mm.alive:
        return None
    for page in sorted(page for page in mm.mergeable if page >= (ksm.next_page or 0)):
        ksm.next_page = page + 1
        frame = mm.candidate(page)
        if frame is None:
            continue
        item = rmap.get(ksm, mm, page)
        if not _skip(ksm, item, frame):
            return item, frame
    return None


def _finish(ksm: Ksm, mm: Mm) -> None:
    """Leave an address space: items behind the last page go; without advice or process, its slot too."""
    if not mm.alive:
        ksm.next_page, ksm.list_pos = None, 0
    rmap.free_from(ksm, mm, ksm.list_pos)
    following = ksm.mms.index(mm) + 1
    successor = ksm.mms[following] if following < len(ksm.mms) else None
    if ksm.next_page is None:
        ksm.mms.remove(mm)
        mm.on_list = False
    _go_to(ksm, successor)


def _go_to(ksm: Ksm, mm: Mm | None) -> None:
    """Put the cursor at the start of an address space."""
    ksm.cursor, ksm.next_page, ksm.list_pos = mm, None, 0


def _skip(ksm: Ksm, item: RmapItem, frame: Frame) -> bool:
    """Whether smart scan leaves a page out this time; each page not merged grows older here."""
    if not ksm.knobs.smart_scan or frame.ksm:
        return False
    if item.node is not None and ksm.version >= (7, 3):
        return False
    age, item.age = item.age, min(item.age + 1, 255)
    if age < 3:
        return False
    if item.remaining_skips == 0:
        item.remaining_skips = next(skips for up_to, skips in SKIPS if age <= up_to)
        return False
    ksm.pages_skipped += 1
    item.remaining_skips -= 1
    rmap.remove(ksm, item)
    return True
