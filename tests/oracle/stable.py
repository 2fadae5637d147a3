"""The stable trees: merged pages by content. Nodes hold no reference, so each may prove to be stale when met.

A node whose frame is found to have moved to another NUMA node goes to the migrate list, until a search for one of its
pages finds it a place in the tree of that NUMA node.

Source: mm/ksm.c:stable_tree_search, stable_tree_insert, stable_node_dup, remove_node_from_stable_tree,
remove_all_stable_nodes (v6.18), behaviour only.
"""

from __future__ import annotations

from oracle.objects import Chain, Frame, Ksm, RmapItem, StableNode
from oracle.rbtree import Node, Tree

NEVER = 1 << 31  # milliseconds; the kernel takes longer times for infinite


def can_share(ksm: Ksm, node: StableNode, more: int = 0) -> bool:
    """Whether a node takes another item, after `more` others."""
    return node.items != [] and len(node.items) + more < ksm.knobs.max_page_sharing


def search(ksm: Ksm, frame: Frame) -> Frame | None:
    """Return the merged page that this page can join; its own, if its node takes more and has, or finds, its place."""
    own = frame.node if frame.ksm else None
    if own is not None and own not in ksm.migrated:
        return frame
    nid = ksm.nid(frame)
    place, node, parent, left = _descend(ksm, nid, frame, prune=True)
    if place is None or node is None:
        if own is None:
            return None
        ksm.migrated.remove(own)
        own.nid = nid
        ksm.stable[nid].insert(own, parent, left)
        return _if_it_shares(ksm, own)
    if own is not None and frame.mapcount > 1:
        _beside(ksm, place, own)
        ksm.migrated.remove(own)
        return _if_it_shares(ksm, own)
    if not can_share(ksm, node):
        return None
    if ksm.nid(node.frame) == nid:
        return node.frame
    _displace(ksm, node, own)
    return None if own is None else _if_it_shares(ksm, own)


def _if_it_shares(ksm: Ksm, own: StableNode) -> Frame | None:
    return own.frame if can_share(ksm, own) else None


def notice_move(ksm: Ksm, node: StableNode) -> None:
    """Put a node on the migrate list if its frame has left the NUMA node whose tree it is in."""
    if node not in ksm.migrated and ksm.nid(node.frame) != node.nid:
        _take_out(ksm, node)
        ksm.migrated.insert(0, node)


def _displace(ksm: Ksm, node: StableNode, own: StableNode | None) -> None:
    """Put a node on the migrate list, whose frame has moved, and the searching page's own, if any, in its place."""
    if own is None:
        notice_move(ksm, node)
        return
    ksm.migrated.remove(own)
    own.nid = node.nid
    if node.chain is None:
        ksm.stable[node.nid].replace(node, own)
    else:
        chain = node.chain
        _take_out(ksm, node)
        _join(chain, own)
    ksm.migrated.insert(0, node)


def insert(ksm: Ksm, frame: Frame) -> StableNode:
    """Return a new node for a page that has just been merged; where equal ones are full, it joins them."""
    nid = ksm.nid(frame)
    place, _, parent, left = _descend(ksm, nid, frame, prune=False)
    node = frame.node = StableNode(frame, nid)
    if place is None:
        ksm.stable[nid].insert(node, parent, left)
    else:
        _beside(ksm, place, node)
    return node


def _beside(ksm: Ksm, place: Node, node: StableNode) -> None:
    """Make a node the first dup at a place of equal content, which becomes a chain if it is none."""
    if isinstance(place, StableNode):
        chain = Chain(ksm.clock(), place.nid)
        ksm.stable[place.nid].replace(place, chain)
        _join(chain, place)
        place = chain
    assert isinstance(place, Chain)
    _join(place, node)


def _join(chain: Chain, node: StableNode) -> None:
    chain.dups.insert(0, node)
    node.chain, node.nid = chain, chain.nid


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
    _take_out(ksm, node)


def _take_out(ksm: Ksm, node: StableNode) -> None:
    """Take a node out of the tree, its chain or the migrate list."""
    if node in ksm.migrated:
        ksm.migrated.remove(node)
    elif node.chain is None:
        ksm.stable[node.nid].erase(node)
    else:
        node.chain.dups.remove(node)
        node.chain = None


def remove_all(ksm: Ksm) -> bool:
    """Remove the nodes at each root until one is mapped, then the migrate list. Returns whether none is left."""
    emptied = [_remove_from_root(ksm, tree) for tree in ksm.stable]
    for node in list(ksm.migrated):
        if node.frame.mapcount == 0:
            remove_node(ksm, node)
    return all(emptied) and not ksm.migrated


def remove_stale_migrated(ksm: Ksm) -> None:
    """Remove the nodes on the migrate list whose page is gone."""
    for node in list(ksm.migrated):
        if node.stale:
            remove_node(ksm, node)


def _remove_from_root(ksm: Ksm, tree: Tree) -> bool:
    while (root := tree.root) is not None:
        for node in list(root.dups) if isinstance(root, Chain) else [root]:
            assert isinstance(node, StableNode)
            if node.frame.mapcount != 0:  # one that is in the swap cache only may go
                return False
            remove_node(ksm, node)
        if isinstance(root, Chain):
            tree.erase(root)
    return True


def _descend(ksm: Ksm, nid: int, frame: Frame, prune: bool) -> tuple[Node | None, StableNode | None, Node | None, bool]:
    """Walk down to equal content.

    Returns (place, node there, _, _), or (None, None, parent, left): where a new leaf belongs.
    """
    place, parent, left = ksm.stable[nid].root, None, False
    while place is not None:
        met = _walk(ksm, place, prune)
        if met is None:  # the tree has changed
            place, parent = ksm.stable[nid].root, None
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
        ksm.stable[chain.nid].erase(chain)
        return None
    if len(chain.dups) == 1:
        if ksm.version < (6, 11) and not (pruned and can_share(ksm, found)):
            return chain, found
        ksm.stable[chain.nid].replace(chain, found)
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
