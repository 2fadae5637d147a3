"""Verification of ksmd's records: trees, lists and counters against each other and against host memory."""

from __future__ import annotations

import numpy as np

from vmdedup.errors import InvariantError
from vmdedup.host.layout import COUNT_MASK, NODE_SHIFT, HostArrays
from vmdedup.jit.rbtree import black_height
from vmdedup.ksm.layout import CHAIN, DUP, EXISTS, MIGRATED, NID_MASK, NID_SHIFT, STABLE, UNSTABLE, KsmArrays


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise InvariantError(f"ksmd's records are inconsistent: {message}")


def check_ksm(h: HostArrays, k: KsmArrays) -> None:
    """Raise InvariantError, naming the first thing that is wrong, unless all of this holds:

    - both kinds of tree have the red-black properties;
    - the live nodes of each stable tree are in strictly ascending order of content;
    - each node stands in the tree of the NUMA node that it says, or on the migrate list;
    - each node's list holds as many items as it says, each pointing back to it;
    - pages_shared, pages_sharing, pages_unshared and rmap_items are what the records add up to.
    """
    for roots, records, what in ((k.stable, k.nodes, "stable"), (k.unstable, k.items, "unstable")):
        for nid, root in enumerate(roots.tolist()):
            _require(black_height(records, root) >= 0, f"the {what} tree of node {nid} is not red-black")
    nodes = [node for nid in range(len(k.stable)) for node in _check_order(h, k, nid)]
    nodes += _migrated(k)
    _check_lists(k, nodes)
    _check_counters(k, nodes)


def _check_order(h: HostArrays, k: KsmArrays, nid: int) -> list[int]:
    """Walk a stable tree in order. Returns its nodes, dups included, chains not."""
    nodes: list[int] = []
    before: bytes | None = None
    for position in _in_order(k, int(k.stable[nid])):
        here = _dups(k, position) if int(k.nodes[position]["flags"]) & CHAIN else [position]
        for node in {position, *here}:
            flags = int(k.nodes[node]["flags"])
            _require((flags & NID_MASK) >> NID_SHIFT == nid, f"node {node} is in the tree of another NUMA node")
            _require(not flags & MIGRATED, f"node {node} is in a tree and on the migrate list")
        alive = [node for node in here if _is_alive(h, k, node)]
        contents = {h.bytes[int(k.nodes[node]["kpfn"])].tobytes() for node in alive}
        _require(len(contents) <= 1, f"a chain holds {len(contents)} different contents")
        for content in contents:
            _require(before is None or before < content, "the stable tree is out of order")
            before = content
        nodes += here
    return nodes


def _in_order(k: KsmArrays, root: int) -> list[int]:
    order: list[int] = []
    above: list[int] = []
    x = root
    while above or x:
        while x:
            above.append(x)
            x = int(k.nodes[x]["left"])
        x = above.pop()
        order.append(x)
        x = int(k.nodes[x]["right"])
    return order


def _dups(k: KsmArrays, chain: int) -> list[int]:
    dups, dup = [], int(k.nodes[chain]["kpfn"])
    while dup:
        _require(bool(int(k.nodes[dup]["flags"]) & DUP), "a chain holds a node that is not a dup")
        dups.append(dup)
        dup = int(k.nodes[dup]["left"])
    return dups


def _migrated(k: KsmArrays) -> list[int]:
    """The nodes on the migrate list."""
    nodes, before, node = [], 0, int(k.st[0]["migrated"])
    while node:
        _require(bool(int(k.nodes[node]["flags"]) & MIGRATED), "the migrate list holds a node that is not migrated")
        _require(int(k.nodes[node]["right"]) == before, f"node {node} is linked wrongly on the migrate list")
        nodes.append(node)
        before, node = node, int(k.nodes[node]["left"])
    _require(not nodes or not k.st[0]["merge_across_nodes"], "the migrate list is in use with merge_across_nodes=1")
    return nodes


def _is_alive(h: HostArrays, k: KsmArrays, node: int) -> bool:
    word = int(h.frames[int(k.nodes[node]["kpfn"])])
    return word & COUNT_MASK != 0 and word >> NODE_SHIFT == node


def _check_lists(k: KsmArrays, nodes: list[int]) -> None:
    for node in nodes:
        length, entry, before = 0, int(k.nodes[node]["hlist"]), 0
        while entry:
            item = k.items[entry]
            _require(bool(int(item["flags"]) & STABLE), f"page {entry} is on a stable node's list but not stable")
            _require((int(item["parent"]), int(item["right"])) == (node, before), f"page {entry} is linked wrongly")
            length, before, entry = length + 1, entry, int(item["left"])
        _require(length == int(k.nodes[node]["rmap_hlist_len"]), f"node {node} has another number of sharers")


def _check_counters(k: KsmArrays, nodes: list[int]) -> None:
    flags = k.items["flags"]
    state = k.st[0]
    stable = int(np.count_nonzero(flags & STABLE))
    shared = sum(int(k.nodes[node]["hlist"]) != 0 for node in nodes)
    sums = {
        "rmap_items": int(np.count_nonzero(flags & EXISTS)),
        "pages_unshared": int(np.count_nonzero(flags & UNSTABLE)),
        "pages_shared": shared,
        "pages_sharing": stable - shared,
        "stable_node_dups": sum(bool(int(k.nodes[node]["flags"]) & DUP) for node in nodes),
    }
    for name, expected in sums.items():
        _require(int(state[name]) == expected, f"{name} is {int(state[name])}, the records say {expected}")
    slots = k.slots
    in_tree = flags & (STABLE | UNSTABLE)
    _require(int(slots["rmap_items"].sum()) == sums["rmap_items"], "the processes' rmap_items do not add up")
    _require(int(slots["merging_pages"].sum()) == stable, "the processes' merging pages do not add up")
    _require(not flags[0], "page 0 has an item")
    _require(bool((in_tree != (STABLE | UNSTABLE)).all()), "a page is in both trees")
    _require(bool((flags[in_tree != 0] & EXISTS != 0).all()), "a page without item is in a tree")
