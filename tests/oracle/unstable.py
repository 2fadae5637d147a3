"""The unstable tree: pages that did not change for a scan, by whatever they hold at the moment.

Source: mm/ksm.c:unstable_tree_search_insert (v6.18), behaviour only.
"""

from __future__ import annotations

from oracle.objects import Frame, Ksm, RmapItem
from oracle.rbtree import Node


def search_or_insert(ksm: Ksm, item: RmapItem, frame: Frame) -> tuple[RmapItem, Frame] | None:
    """Return the item of an equal page and its frame; failing that, insert this one and return None.

    A node on the way whose page is gone, or is the very same frame, ends the search: nothing is inserted. So does an
    equal page that has moved to another NUMA node since it was inserted.
    """
    nid = ksm.nid(frame)
    place, left = ksm.unstable[nid].root, False
    parent: Node | None = None
    while place is not None:
        assert isinstance(place, RmapItem)
        other = place.mm.candidate(place.page)
        if other is None or other is frame:
            return None
        if frame.data == other.data:
            return None if not ksm.knobs.merge_across_nodes and other.nid != nid else (place, other)
        parent, left = place, frame.data < other.data
        place = place.left if left else place.right
    ksm.unstable[nid].insert(item, parent, left)
    item.seq, item.nid = ksm.seqnr % 256, nid
    return None
