"""The stable tree: merged pages, ordered by content that cannot change. Kernels only."""

from __future__ import annotations

from typing import Any

from vmdedup.host.frames import frame_count, node_of
from vmdedup.host.layout import CTL_STALE
from vmdedup.jit import rbtree
from vmdedup.jit.atomic import load
from vmdedup.jit.kernel import kernel
from vmdedup.jit.rbtree import NIL
from vmdedup.ksm.layout import CHAIN
from vmdedup.ksm.migrated import put_on_list, take_off_list
from vmdedup.ksm.order import common_bytes, compare_keyed
from vmdedup.ksm.stable_node import (
    NO_ROOM,
    can_share,
    collapse_chain,
    drop_chain,
    free_node,
    is_stale,
    join_chain,
    leave_chain,
    make_chain,
    may_be_forgotten,
    migrate,
    new_node,
    remove_node,
    set_nid,
)

CHANGED = 0  # a chain walk met a stale node and has changed the tree


@kernel
def nid_of(h: Any, k: Any, pfn: int) -> int:
    """Which NUMA node's trees a frame belongs to. Source: mm/ksm.c:get_kpfn_nid."""
    return 0 if k.st[0]["merge_across_nodes"] else node_of(h, pfn)


@kernel
def needs_walk(h: Any, k: Any, position: int) -> bool:
    """Whether a position may be anything but a plain node with a live frame: spares most calls of walk_chain."""
    return k.nodes[position]["flags"] & CHAIN != 0 or load(h.ctl, CTL_STALE) != 0


@kernel
def walk_chain(h: Any, k: Any, position: int, prune: bool) -> int:
    """The node to compare with at a position, or CHANGED. st.walked: the position, maybe collapsed.

    Source: mm/ksm.c:__stable_node_chain.
    """
    k.st[0]["walked"] = position
    if k.nodes[position]["flags"] & CHAIN:
        return _walk_dups(h, k, position, prune and _is_time_to_prune(k, position))
    if is_stale(h, k, position):
        remove_node(h, k, position)
        return CHANGED
    return position


@kernel
def _is_time_to_prune(k: Any, chain: int) -> bool:
    st = k.st[0]
    if (st["now"] - k.nodes[chain]["prune_time"]) & 0x7FFFFFFF < st["prune_millisecs"]:
        return False
    k.nodes[chain]["prune_time"] = st["now"] & 0x7FFFFFFF
    return True


@kernel
def _walk_dups(h: Any, k: Any, chain: int, prune: bool) -> int:
    """Choose a dup: when pruning the fullest that takes more, else the first. Source: mm/ksm.c:stable_node_dup."""
    found = 0
    dup = k.nodes[chain]["kpfn"]
    while dup != 0:
        following = k.nodes[dup]["left"]
        if is_stale(h, k, dup):
            remove_node(h, k, dup)
        elif found == 0 or (can_share(k, dup, 0) and _is_fuller(k, dup, found)):
            found = dup
            if not prune and can_share(k, found, 0):
                break
        dup = following
    if found == 0:
        drop_chain(k, chain)
        return CHANGED
    if k.nodes[chain]["kpfn"] == found and k.nodes[found]["left"] == 0:
        if k.st[0]["chain_of_one_goes"] or (prune and can_share(k, found, 0)):
            collapse_chain(k, chain, found)
            k.st[0]["walked"] = found
    elif k.nodes[chain]["kpfn"] != found and can_share(k, found, 1):
        leave_chain(k, found)
        join_chain(k, found, chain)
    return found


@kernel
def _is_fuller(k: Any, dup: int, found: int) -> bool:
    return not can_share(k, found, 0) or k.nodes[dup]["rmap_hlist_len"] > k.nodes[found]["rmap_hlist_len"]


@kernel
def stable_tree_search(h: Any, k: Any, pfn: int, key: int, moved: int) -> int:
    """The stable node that a page can be merged into, or 0. Source: mm/ksm.c:stable_tree_search.

    moved: 0, or the page's own stable node, which is on the migrate list and looks for a place in this tree.
    """
    root = nid_of(h, k, pfn)
    found = 0
    parent = NIL
    sign = 1
    levels = 0
    compared = 0
    x = k.stable[root]
    while x != NIL:
        levels += 1
        node = x
        if needs_walk(h, k, x):
            node = walk_chain(h, k, x, True)
            if node == CHANGED:
                x = k.stable[root]
                parent = NIL
                sign = 1
                continue
            x = k.st[0]["walked"]
        sign = compare_keyed(h, k, pfn, key, k.nodes[node]["kpfn"], k.nodes[node]["key"])
        compared += common_bytes(h, key, k.nodes[node]["key"]) if sign != 0 else h.bytes.shape[1]
        if sign == 0:
            found = _meet(h, k, x, node, root, moved)
            break
        parent = x
        x = k.nodes[x]["left"] if sign < 0 else k.nodes[x]["right"]
    k.st[0]["stable_levels"] += levels
    k.st[0]["compared_bytes"] += compared
    if moved != 0 and sign != 0:
        _settle(k, moved, root)
        rbtree.insert(k.nodes, k.stable, root, moved, parent, sign < 0)
        return _if_it_shares(k, moved)
    return found


@kernel
def _settle(k: Any, moved: int, root: int) -> None:
    """Take a node off the migrate list; the caller puts it into a tree."""
    take_off_list(k, moved)
    set_nid(k, moved, root)


@kernel
def _if_it_shares(k: Any, moved: int) -> int:
    """What a search finds whose page's own node has just found its place: that node, unless it is full, or none."""
    return moved if moved != 0 and can_share(k, moved, 0) else 0


@kernel
def _meet(h: Any, k: Any, position: int, node: int, root: int, moved: int) -> int:
    """What a search finds where the content is equal: a node to merge with, or 0. See stable_tree_search."""
    if moved != 0 and frame_count(h, k.nodes[moved]["kpfn"]) > 1:
        chain = _chain_at(k, position)
        if chain == NO_ROOM:
            return 0
        _settle(k, moved, root)
        join_chain(k, moved, chain)
        return _if_it_shares(k, moved)
    if not can_share(k, node, 0):
        return 0
    if k.st[0]["merge_across_nodes"] or node_of(h, k.nodes[node]["kpfn"]) == root:
        return node
    return _displace(k, position, node, root, moved)


@kernel
def _displace(k: Any, position: int, node: int, root: int, moved: int) -> int:
    """Let a node whose own frame has left this NUMA node go, and the searching page's, if any, have its place."""
    if moved == 0:
        migrate(k, node)
        return 0
    _settle(k, moved, root)
    if position == node:
        rbtree.replace(k.nodes, k.stable, root, node, moved)
    else:
        leave_chain(k, node)
        join_chain(k, moved, position)
    put_on_list(k, node)
    return _if_it_shares(k, moved)


@kernel
def stable_tree_insert(h: Any, k: Any, pfn: int) -> int:
    """A new stable node for a frame that has just become a KSM frame. Source: mm/ksm.c:stable_tree_insert.

    Beside an equal node that takes no more sharers it becomes the front of a chain. Returns NO_ROOM if there is no
    record left.
    """
    root = nid_of(h, k, pfn)
    node = new_node(h, k, pfn, root)
    if node == NO_ROOM:
        return NO_ROOM
    key = k.nodes[node]["key"]
    parent = NIL
    sign = 0
    x = k.stable[root]
    while x != NIL:
        k.st[0]["stable_levels"] += 1
        other = x
        if needs_walk(h, k, x):
            other = walk_chain(h, k, x, False)
            if other == CHANGED:
                x = k.stable[root]
                parent = NIL
                continue
            x = k.st[0]["walked"]
        sign = compare_keyed(h, k, pfn, key, k.nodes[other]["kpfn"], k.nodes[other]["key"])
        parent = x
        if sign == 0:
            return _join_equal(h, k, node, parent)
        x = k.nodes[parent]["left"] if sign < 0 else k.nodes[parent]["right"]
    rbtree.insert(k.nodes, k.stable, root, node, parent, sign < 0)
    return node


@kernel
def _chain_at(k: Any, position: int) -> int:
    """The chain at a position of a tree, where a plain node may have to be made one; NO_ROOM: it cannot be."""
    return position if k.nodes[position]["flags"] & CHAIN else make_chain(k, position)


@kernel
def _join_equal(h: Any, k: Any, node: int, position: int) -> int:
    """Put a new node at the front of the chain of its content, which may have to be made first."""
    chain = _chain_at(k, position)
    if chain == NO_ROOM:
        free_node(h, k, node)
        return NO_ROOM
    join_chain(k, node, chain)
    return node


@kernel
def remove_all_stable_nodes(h: Any, k: Any) -> bool:
    """Empty the trees from their roots down, each until a node's frame is still mapped, and the migrate list.

    Returns whether none is left. Source: mm/ksm.c:remove_all_stable_nodes.
    """
    emptied = True
    for root in range(len(k.stable)):
        while k.stable[root] != NIL:
            if not _remove_root(h, k, k.stable[root]):
                emptied = False
                break
    return remove_migrated(h, k, True) and emptied


@kernel
def remove_migrated(h: Any, k: Any, unmapped: bool) -> bool:
    """Forget the nodes on the migrate list whose frame has been freed. Returns whether none is left.

    unmapped: also those whose frame is in the swap cache only.
    """
    node = k.st[0]["migrated"]
    while node != 0:
        following = k.nodes[node]["left"]
        if may_be_forgotten(h, k, node) if unmapped else is_stale(h, k, node):
            remove_node(h, k, node)
        node = following
    return k.st[0]["migrated"] == 0


@kernel
def _remove_root(h: Any, k: Any, top: int) -> bool:
    if not k.nodes[top]["flags"] & CHAIN:
        if not may_be_forgotten(h, k, top):
            return False
        remove_node(h, k, top)
        return True
    dup = k.nodes[top]["kpfn"]
    while dup != 0:
        following = k.nodes[dup]["left"]
        if not may_be_forgotten(h, k, dup):
            return False
        remove_node(h, k, dup)
        dup = following
    drop_chain(k, top)
    return True
