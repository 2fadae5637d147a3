"""The stable tree: merged pages by content. Nodes hold no reference, so each may prove to be stale when met.

Source: mm/ksm.c:stable_tree_search, stable_tree_insert, stable_node_dup, remove_node_from_stable_tree,
remove_all_stable_nodes (v6.18), behaviour only.
"""

from __future__ import annotations

from oracle.objects import Chain, Frame, Ksm, RmapItem, StableNode
from oracle.rbtree import Node

NEVER = 1 << 31  # milliseconds; the kernel takes longer times for infinite


def can_share(ksm: Ksm, node: StableNode, more: int = 0) -> bool:
    """Whether a node takes another item, after `more` others."""
    return node.items != [] and len(node.items) + more < ksm.knobs.max_page_sharing


def search(ksm: Ksm, frame: Frame) -> Frame | None:
    """Return the merged page that this page can join."""
    if frame.ksm and frame.node is not None:
        return frame
    place, node, _, _ = _descend(ksm, frame, prune=True)
    return node.frame if place is not None and node is not None and can_share(ksm, node) else None


def insert(ksm: Ksm, frame: Frame) -> StableNode:
    """Return a new node for a page that has just been merged; where equal ones are full, it joins them."""
    place, _, parent, left = _descend(ksm, frame, prune=False)
    node = frame.node = StableNode(frame)
    if place is None:
        ksm.stable.insert(node, parent, left)
        return node
    if isinstance(place, StableNode):
        chain = Chain(ksm.clock())
        ksm.stable.replace(place, chain)
        chain.dups.append(place)
        place.chain = chain
        place = chain
    assert isinstance(place, Chain)
    place.dups.insert(0, node)
    node.chain = place
    return node


def append(node: StableNode, item: RmapItem) -> None:
    """Enter an item as sharer of a merged page."""
    item.node = node
    node.items.insert(0, item)


def drop(ksm: Ksm, item: RmapItem) -> None:
    """Take a sharer out. If its node proves to be stale, all sharers go."""
    node = item.node
    assert node is not None
    if node.stale:
        remove_node(ksm, node)
    else:
        node.items.remove(item)
        _let_go(ksm, item)


def _let_go(ksm: Ksm, item: RmapItem) -> None:
    item.node = None
    if ksm.version >= (7, 3):
        item.forget()


def remove_node(ksm: Ksm, node: StableNode) -> None:
    """Forget a node whose page is gone. A chain that is empty then stays until somebody walks it."""
    for item in node.items:
        _let_go(ksm, item)
    node.items.clear()
    node.frame.node = None
    if node.chain is None:
        ksm.stable.erase(node)
    else:
        node.chain.dups.remove(node)


def remove_all(ksm: Ksm) -> bool:
    """Remove the nodes at the root until one is still mapped. Returns whether none is left."""
    while (root := ksm.stable.root) is not None:
        for node in list(root.dups) if isinstance(root, Chain) else [root]:
            assert isinstance(node, StableNode)
            if not node.stale:
                return False
            remove_node(ksm, node)
        if isinstance(root, Chain):
            ksm.stable.erase(root)
    return True


def _descend(ksm: Ksm, frame: Frame, prune: bool) -> tuple[Node | None, StableNode | None, Node | None, bool]:
    """Walk down to equal content.

    Returns (place, node there, _, _), or (None, None, parent, left): where a new leaf belongs.
    """
    place, parent, left = ksm.stable.root, None, False
    while place is not None:
        met = _walk(ksm, place, prune)
        if met is None:  # the tree has changed
            place, parent = ksm.stable.root, None
            continue
        place, node = met
        if frame.data == node.frame.data:
            return place, node, None, False
        parent, left = place, frame.data < node.frame.data
        place = place.left if left else place.right
    return None, None, parent, left


def _walk(ksm: Ksm, place: Node, prune: bool) -> tuple[Node, StableNode] | None:
    """Return what is at a place of the tree now, and the node to go by; None if there is nothing any more."""
    if isinstance(place, Chain):
        return _walk_chain(ksm, place, prune)
    assert isinstance(place, StableNode)
    if place.stale:
        remove_node(ksm, place)
        return None
    return place, place


def _walk_chain(ksm: Ksm, chain: Chain, prune: bool) -> tuple[Node, StableNode] | None:
    """As _walk: stale dups that are met go, a chain of one becomes that one, a chain of none goes."""
    pruned = prune and _time_to_prune(ksm, chain)
    found = _best_dup(ksm, chain, pruned)
    if found is None:
        ksm.stable.erase(chain)
        return None
    if len(chain.dups) == 1:
        if ksm.version < (6, 11) and not (pruned and can_share(ksm, found)):
            return chain, found
        ksm.stable.replace(chain, found)
        found.chain = None
        return found, found
    if found is not chain.dups[0] and can_share(ksm, found, 1):
        chain.dups.remove(found)
        chain.dups.insert(0, found)
    return chain, found


def _time_to_prune(ksm: Ksm, chain: Chain) -> bool:
    """Whether all dups are to be looked at; remembers that they were."""
    period, now = ksm.knobs.stable_node_chains_prune_millisecs, ksm.clock()
    due = period < NEVER and now >= chain.prune_time + period
    if due:
        chain.prune_time = now
    return due


def _best_dup(ksm: Ksm, chain: Chain, prune: bool) -> StableNode | None:
    """Return the first dup that can be shared, or, pruning, the fullest such; failing those, the first."""
    found: StableNode | None = None
    for dup in list(chain.dups):
        if dup.stale:
            remove_node(ksm, dup)
            continue
        if found is None or (can_share(ksm, dup) and (not can_share(ksm, found) or len(dup.items) > len(found.items))):
            found = dup
        if not prune and can_share(ksm, found):
            break
    return found
