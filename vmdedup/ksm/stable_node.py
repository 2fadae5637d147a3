"""Stable nodes: one KSM frame each, with the rmap_items that share it; chains of equal nodes. Kernels only.

A node does not keep its frame alive. When the last page that maps the frame goes, the frame is freed and the
node is *stale*; nobody is told, and the node with its counters stays until a walk happens to look at it.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.frames import set_stable_node
from vmdedup.host.layout import COUNT_MASK, CTL_STALE, NO_NODE, NODE_SHIFT
from vmdedup.host.mm import mm_of_entry
from vmdedup.host.swap_slot import count_mapped
from vmdedup.jit import rbtree
from vmdedup.jit.atomic import fetch_add, load
from vmdedup.jit.kernel import kernel
from vmdedup.ksm.layout import CHAIN, DUP, HASHED, MIGRATED, NID_MASK, NID_SHIFT, NOT_TREE, STABLE
from vmdedup.ksm.migrated import put_on_list, take_off_list
from vmdedup.ksm.order import page_key

NO_ROOM = 0


@kernel
def is_stale(h: Any, k: Any, node: int) -> bool:
    """Whether the node's frame has been freed. Source: mm/ksm.c:ksm_get_folio.

    As long as host memory knows of no freed KSM frame, no frame word needs to be looked at.
    """
    if load(h.ctl, CTL_STALE) == 0:
        return False
    word = load(h.frames, k.nodes[node]["kpfn"])
    return word & COUNT_MASK == 0 or word >> NODE_SHIFT != node


@kernel
def may_be_forgotten(h: Any, k: Any, node: int) -> bool:
    """Whether a node may go, where all are to: nobody maps its frame, be that free or in the swap cache.

    What is there is a KSM frame without node from then on. Source: mm/ksm.c:remove_stable_node.
    """
    if is_stale(h, k, node):
        return True
    pfn = k.nodes[node]["kpfn"]
    if count_mapped(h, pfn) != 0:
        return False
    set_stable_node(h, pfn, NO_NODE)
    fetch_add(h.ctl, CTL_STALE, 1)
    return True


@kernel
def can_share(k: Any, node: int, more: int) -> bool:
    """Whether a node takes further sharers. Source: mm/ksm.c:__is_page_sharing_candidate."""
    length = k.nodes[node]["rmap_hlist_len"]
    return length != 0 and length + more < k.st[0]["max_page_sharing"]


@kernel
def _new_record(k: Any) -> int:
    st = k.st[0]
    node = st["free_node"]
    if node != 0:
        st["free_node"] = k.nodes[node]["parent"]
    elif st["fresh_node"] < len(k.nodes):
        node = st["fresh_node"]
        st["fresh_node"] += 1
    else:
        return NO_ROOM
    k.nodes[node]["flags"] = 0
    k.nodes[node]["hlist"] = 0
    k.nodes[node]["rmap_hlist_len"] = 0
    return node


@kernel
def _free_record(k: Any, node: int) -> None:
    k.nodes[node]["kpfn"] = 0
    k.nodes[node]["parent"] = k.st[0]["free_node"]
    k.st[0]["free_node"] = node


@kernel
def new_node(h: Any, k: Any, pfn: int, nid: int) -> int:
    """A stable node for a KSM frame, in no tree yet; NO_ROOM if there is none."""
    node = _new_record(k)
    if node != NO_ROOM:
        k.nodes[node]["kpfn"] = pfn
        k.nodes[node]["flags"] = nid << NID_SHIFT
        k.nodes[node]["key"] = page_key(h, k, pfn)
        set_stable_node(h, pfn, node)
    return node


@kernel
def free_node(h: Any, k: Any, node: int) -> None:
    """Give up a node that is in no tree yet; its frame stays a KSM frame, without a node."""
    set_stable_node(h, k.nodes[node]["kpfn"], NO_NODE)
    _free_record(k, node)


@kernel
def link_item(h: Any, k: Any, entry: int, node: int) -> None:
    """Count a page among a node's sharers. Source: mm/ksm.c:stable_tree_append."""
    st = k.st[0]
    item = k.items[entry]
    head = k.nodes[node]["hlist"]
    item["flags"] = (item["flags"] & NOT_TREE) | STABLE
    item["parent"] = node
    item["left"] = head
    item["right"] = 0
    if head != 0:
        k.items[head]["right"] = entry
        st["pages_sharing"] += 1
    else:
        st["pages_shared"] += 1
    k.nodes[node]["hlist"] = entry
    k.nodes[node]["rmap_hlist_len"] += 1
    k.slots[mm_of_entry(h, entry)]["merging_pages"] += 1


@kernel
def unlink_item(h: Any, k: Any, entry: int) -> None:
    """Take a page from among its node's sharers; the node stays, even with none left."""
    item = k.items[entry]
    node = item["parent"]
    following = item["left"]
    before = item["right"]
    if following != 0:
        k.items[following]["right"] = before
    if before != 0:
        k.items[before]["left"] = following
    else:
        k.nodes[node]["hlist"] = following
    k.nodes[node]["rmap_hlist_len"] -= 1
    if k.nodes[node]["hlist"] != 0:
        k.st[0]["pages_sharing"] -= 1
    else:
        k.st[0]["pages_shared"] -= 1
    k.slots[mm_of_entry(h, entry)]["merging_pages"] -= 1
    item["flags"] &= NOT_TREE
    if k.st[0]["items_start_anew"]:
        start_anew(k, entry)


@kernel
def start_anew(k: Any, entry: int) -> None:
    """Know no more of a page's past than of a new one's."""
    item = k.items[entry]
    item["oldchecksum"] = 0
    item["age"] = 0
    item["remaining_skips"] = 0
    item["flags"] &= ~HASHED & 255
    item["key"] = 0


@kernel
def remove_node(h: Any, k: Any, node: int) -> None:
    """Forget a stale node and all that its sharers counted. Source: mm/ksm.c:remove_node_from_stable_tree."""
    fetch_add(h.ctl, CTL_STALE, -1)
    while k.nodes[node]["hlist"] != 0:
        unlink_item(h, k, k.nodes[node]["hlist"])
    _take_out(k, node)
    _free_record(k, node)


@kernel
def _take_out(k: Any, node: int) -> None:
    """Take a node out of wherever it is: its chain, the migrate list or the tree."""
    if k.nodes[node]["flags"] & DUP:
        leave_chain(k, node)
    elif k.nodes[node]["flags"] & MIGRATED:
        take_off_list(k, node)
    else:
        rbtree.erase(k.nodes, k.stable, nid_of_node(k, node), node)


@kernel
def nid_of_node(k: Any, node: int) -> int:
    """The NUMA node whose tree a node is in, or was in last."""
    return (k.nodes[node]["flags"] & NID_MASK) >> NID_SHIFT


@kernel
def set_nid(k: Any, node: int, nid: int) -> None:
    """Note into which NUMA node's tree a node goes."""
    k.nodes[node]["flags"] = (k.nodes[node]["flags"] & (255 & ~NID_MASK)) | (nid << NID_SHIFT)


@kernel
def migrate(k: Any, node: int) -> None:
    """Let a node leave its tree, or its chain, for the migrate list: its frame is on another NUMA node now."""
    _take_out(k, node)
    put_on_list(k, node)


@kernel
def leave_chain(k: Any, dup: int) -> None:
    """Take a dup out of its chain; the chain stays, even if empty. Source: mm/ksm.c:__stable_node_dup_del."""
    following = k.nodes[dup]["left"]
    before = k.nodes[dup]["right"]
    if following != 0:
        k.nodes[following]["right"] = before
    if before != 0:
        k.nodes[before]["left"] = following
    else:
        k.nodes[k.nodes[dup]["parent"]]["kpfn"] = following
    k.nodes[dup]["flags"] &= ~DUP & 255
    k.st[0]["stable_node_dups"] -= 1


@kernel
def join_chain(k: Any, dup: int, chain: int) -> None:
    """Put a node at the front of a chain. Source: mm/ksm.c:stable_node_chain_add_dup."""
    first = k.nodes[chain]["kpfn"]
    k.nodes[dup]["flags"] |= DUP
    k.nodes[dup]["parent"] = chain
    k.nodes[dup]["left"] = first
    k.nodes[dup]["right"] = 0
    if first != 0:
        k.nodes[first]["right"] = dup
    k.nodes[chain]["kpfn"] = dup
    k.st[0]["stable_node_dups"] += 1


@kernel
def make_chain(k: Any, node: int) -> int:
    """Put a chain in a node's place in the tree, with the node as its dup. Source: mm/ksm.c:alloc_stable_node_chain."""
    chain = _new_record(k)
    if chain == NO_ROOM:
        return NO_ROOM
    k.nodes[chain]["kpfn"] = 0
    k.nodes[chain]["flags"] = CHAIN | (k.nodes[node]["flags"] & NID_MASK)
    k.nodes[chain]["key"] = k.nodes[node]["key"]
    k.nodes[chain]["prune_time"] = k.st[0]["now"] & 0x7FFFFFFF
    rbtree.replace(k.nodes, k.stable, nid_of_node(k, node), node, chain)
    k.st[0]["stable_node_chains"] += 1
    join_chain(k, node, chain)
    return chain


@kernel
def drop_chain(k: Any, chain: int) -> None:
    """Erase an empty chain from the tree. Source: mm/ksm.c:free_stable_node_chain."""
    rbtree.erase(k.nodes, k.stable, nid_of_node(k, chain), chain)
    k.st[0]["stable_node_chains"] -= 1
    _free_record(k, chain)


@kernel
def collapse_chain(k: Any, chain: int, dup: int) -> None:
    """Let a chain's only dup take its place in the tree."""
    leave_chain(k, dup)
    rbtree.replace(k.nodes, k.stable, nid_of_node(k, chain), chain, dup)
    k.st[0]["stable_node_chains"] -= 1
    _free_record(k, chain)
