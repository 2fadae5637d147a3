"""The records that ksmd keeps, declared once. They are private to the process that runs ksmd.

A page's rmap_item stands at the index of its page table entry, so a page of a guest, its entry and its
rmap_item have one number, 0 is nobody, and no record needs to say whose it is. Bytes a guest page: 28 for the
rmap_item, beside 8 for the entry and 8 for the frame word in host memory; 40 for each stable node.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

# rmap_item flags; bit 7 is the tree's RED.
EXISTS = 1  # ksmd has visited the page; the kernel would have allocated the item
UNSTABLE = 2  # inserted into the unstable tree (that of scan seq)
STABLE = 4  # on a stable node's list
HASHED = 8  # oldchecksum is that of the content as long as the entry's SOFT stays clear
TREE_BITS = UNSTABLE | STABLE
NID_SHIFT = 4  # bits 4-6: the NUMA tree that the item or node is in
NID_MASK = 7 << NID_SHIFT
NOT_TREE = 255 & ~(TREE_BITS | NID_MASK)

rmap_item_dtype = np.dtype(
    [
        ("oldchecksum", "u4"),  # page checksum at the last visit that took one
        ("age", "u1"),  # visits without being merged, up to 255 (smart scan)
        ("remaining_skips", "u1"),  # visits to skip (smart scan)
        ("seq", "u1"),  # low byte of the full scan that inserted it into the unstable tree
        ("flags", "u1"),
        ("parent", "i4"),  # UNSTABLE: parent in the tree; STABLE: the stable node
        ("left", "i4"),  # UNSTABLE: left child; STABLE: next item of the node, 0 at the end
        ("right", "i4"),  # UNSTABLE: right child; STABLE: item before, 0 at the head
        ("key", "i8"),  # order key of the content (order.py), with KEY_VALID if it may be used
    ]
)

# stable_node flags; bit 7 is the tree's RED, bits 4-6 the NUMA tree.
CHAIN = 1  # stands in the tree for a list of dups with equal content; has no frame
DUP = 2  # in a chain, not in the tree
MIGRATED = 4  # on the migrate list (migrated.py): in no tree, but alive

stable_node_dtype = np.dtype(
    [
        ("flags", "u1"),
        ("unused", "u1", 3),
        ("parent", "i4"),  # parent in the tree; DUP: its chain; free node: the next free one
        ("hlist", "i4"),  # first rmap_item that shares the frame, newest first
        ("rmap_hlist_len", "i4"),  # how many there are
        ("left", "i4"),  # left child; DUP: next dup of the chain; MIGRATED: next of the list
        ("right", "i4"),  # right child; DUP: dup before; MIGRATED: the one before
        ("key", "i8"),  # order key of the content; what a search touches stands together
        ("kpfn", "i4"),  # the KSM frame; CHAIN: first dup
        ("prune_time", "i4"),  # CHAIN: when it was last pruned, in ms of ksmd's clock, modulo 2**31
    ]
)

mm_slot_dtype = np.dtype(
    [
        ("next", "i8"),  # neighbours on the circular list of scanned address spaces; slot 0 is its head
        ("prev", "i8"),
        ("on_list", "i8"),  # MMF_VM_MERGEABLE
        ("rmap_items", "i8"),  # ksm_rmap_items
        ("merging_pages", "i8"),  # ksm_merging_pages
        ("parent", "i8"),  # whose fork it is, as long as records of that one may be left; 0: nobody's
    ]
)

state_dtype = np.dtype(
    [
        ("cursor", "i8"),  # slot that is being scanned; 0: between two full scans
        ("address", "i8"),  # next page to look at, plus 1; 0: this mm has not been begun
        ("seqnr", "i8"),  # full scans completed
        ("scan_start", "i8"),  # when this full scan began, ms
        ("now", "i8"),  # ksmd's clock, ms; set by whoever runs it
        ("pages_shared", "i8"),
        ("pages_sharing", "i8"),
        ("pages_unshared", "i8"),
        ("rmap_items", "i8"),
        ("pages_scanned", "i8"),
        ("pages_skipped", "i8"),
        ("absent", "i8"),  # places without a page that were passed; with the next six, what is billed (work.py)
        ("hashed", "i8"),  # pages that the kernel would have read for their checksum
        ("stable_levels", "i8"),  # steps down the trees
        ("unstable_levels", "i8"),
        ("compared_bytes", "i8"),  # bytes in which pages agreed that were compared there, as far as keys tell
        ("merged", "i8"),  # pages write-protected to be merged
        ("zero_merged", "i8"),  # the same, with the zero page
        ("stable_node_chains", "i8"),
        ("stable_node_dups", "i8"),
        ("smart_scan", "i8"),
        ("use_zero_pages", "i8"),
        ("max_page_sharing", "i8"),
        ("merge_across_nodes", "i8"),
        ("prune_millisecs", "i8"),
        ("checksum_first", "i8"),  # with the next three, what this version of ksmd does (profile.BEHAVIOUR)
        ("chain_of_one_goes", "i8"),
        ("zero_pages_known", "i8"),
        ("items_start_anew", "i8"),
        ("zero_checksum", "i8"),  # checksum of an empty page
        ("free_node", "i8"),  # head of the list of free stable nodes
        ("fresh_node", "i8"),  # next stable node never used
        ("migrated", "i8"),  # first node of the migrate list
        ("walked", "i8"),  # tree position of the last chain walk (a collapse changes it)
        ("looked_ahead", "i8"),  # sum of what the last look ahead touched; keeps the compiler from leaving it out
        ("compares", "i8"),  # comparisons that looked at keys, and those whose keys were equal though the pages
        ("ties", "i8"),  # were not: how good the order's base page is
    ]
)


AHEAD = 8  # pages that are looked up ahead of the scan (ahead.py)


class KsmArrays(NamedTuple):
    """ksmd's records as kernels see them."""

    items: npt.NDArray[Any]  # rmap_item_dtype[page table entries of the host]
    nodes: npt.NDArray[Any]  # stable_node_dtype; 0 is none
    slots: npt.NDArray[Any]  # mm_slot_dtype[address spaces]; 0 is the list's head
    st: npt.NDArray[Any]  # state_dtype[1]
    stable: npt.NDArray[np.int64]  # root of the stable tree of each NUMA node
    unstable: npt.NDArray[np.int64]  # root of the unstable tree of each NUMA node
    base: npt.NDArray[np.int64]  # (1, words): the page that order keys are relative to
    ahead: npt.NDArray[np.int64]  # (AHEAD, 4): key, place in the stable and unstable tree, frame (ahead.py)


def make(entries: int, mms: int, nodes: int, words: int) -> KsmArrays:
    """Records for a host of that many page table entries, address spaces, NUMA nodes and words a page; sparse."""
    k = KsmArrays(
        items=np.zeros(entries, rmap_item_dtype),
        nodes=np.zeros(entries + entries // 2 + 2, stable_node_dtype),
        slots=np.zeros(mms, mm_slot_dtype),
        st=np.zeros(1, state_dtype),
        stable=np.zeros(nodes, np.int64),
        unstable=np.zeros(nodes, np.int64),
        base=np.zeros((1, words), np.int64),
        ahead=np.zeros((AHEAD, 4), np.int64),
    )
    k.st["fresh_node"] = 1
    return k
