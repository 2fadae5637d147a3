"""What ksmd does with one page.

Source: mm/ksm.c:cmp_and_merge_page (v6.18), behaviour only.
"""

from __future__ import annotations

import xxhash

from oracle import huge, merge, rmap, stable, unstable
from oracle.objects import ZEROS, Frame, Ksm, RmapItem


def checksum(data: bytes) -> int:
    """Return the low 32 bits of XXH64 with seed 0."""
    return xxhash.xxh64_intdigest(data) & 0xFFFFFFFF


ZERO_CHECKSUM = checksum(ZEROS)


def process(ksm: Ksm, item: RmapItem, frame: Frame) -> None:
    """Merge a page if it can be merged, else remember it if it did not change."""
    own = frame.node if frame.ksm else None
    if own is not None:
        stable.notice_move(ksm, own)
        if item.node is own and own not in ksm.migrated:
            return
    tree_first = ksm.version < (6, 11)
    if own is None and not tree_first and (not _unchanged(ksm, item, frame) or _zero_page(ksm, item, frame)):
        return
    merged = stable.search(ksm, frame)
    if merged is frame and item.node is own:
        return
    rmap.remove(ksm, item)
    if merged is not None:
        if merge.into(ksm, item, frame, merged):
            assert merged.node is not None
            stable.append(merged.node, item)
        return
    if tree_first and (not _unchanged(ksm, item, frame) or _zero_page(ksm, item, frame)):
        return
    met = unstable.search_or_insert(ksm, item, frame)
    if met is None:
        return
    if merge.two(ksm, item, frame, *met):
        node = stable.insert(ksm, frame)
        stable.append(node, met[0])
        stable.append(node, item)
    elif frame.folio is not None and frame.folio is met[1].folio:  # nobody holds the other one any more
        huge.split(ksm, frame.folio)


def _unchanged(ksm: Ksm, item: RmapItem, frame: Frame) -> bool:
    """Whether a page has the checksum of its last visit; remembers the new one."""
    rmap.remove(ksm, item)
    now = checksum(frame.data)
    before, item.oldchecksum = item.oldchecksum, now
    return before == now


def _zero_page(ksm: Ksm, item: RmapItem, frame: Frame) -> bool:
    """Whether a page of zeros was replaced by the zero page."""
    return ksm.knobs.use_zero_pages and item.oldchecksum == ZERO_CHECKSUM and merge.with_zero(ksm, item, frame)
