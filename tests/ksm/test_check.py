"""The check of ksmd's records finds each thing that it says it looks for, one corruption at a time."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator

import pytest

from kit.ksm_host import KsmHost
from vmdedup.errors import InvariantError
from vmdedup.jit.rbtree import RED
from vmdedup.ksm import check
from vmdedup.ksm.layout import CHAIN, DUP, EXISTS, MIGRATED, NID_SHIFT, STABLE, UNSTABLE


@pytest.fixture
def k() -> Iterator[KsmHost]:
    """Two plain nodes, a chain of two, a stale node, and four pages in the unstable tree."""
    host = KsmHost(max_page_sharing=2)
    guest = host.guest(1, 1, 2, 2, 3, 3, 3, 3, 4, 4, 5, 6, 7, 8)
    host.scans(2)
    host.fill(guest, range(8, 10), (8, 9))
    host.ksmd.check()
    yield host
    host.host.close()


def position(k: KsmHost, wanted: Callable[[int], bool]) -> int:
    """The first stable node with such flags."""
    nodes = k.ksmd.arrays.nodes
    return next(x for x in range(1, int(k.ksmd.arrays.st[0]["fresh_node"])) if wanted(int(nodes[x]["flags"])))


def plain(k: KsmHost) -> int:
    """A node that is no chain and in none."""
    return position(k, lambda flags: not flags & (CHAIN | DUP))


def unstable_page(k: KsmHost) -> int:
    """A page in the unstable tree."""
    flags = k.ksmd.arrays.items["flags"]
    return int((flags & UNSTABLE).argmax())


def red_root(k: KsmHost) -> None:
    """Of the stable tree."""
    k.ksmd.arrays.nodes[k.ksmd.arrays.stable[0]]["flags"] |= RED


def red_unstable_root(k: KsmHost) -> None:
    """Of the unstable tree."""
    k.ksmd.arrays.items[k.ksmd.arrays.unstable[0]]["flags"] |= RED


def out_of_order(k: KsmHost) -> None:
    """A merged page whose bytes have changed."""
    node = plain(k)
    k.host.arrays.words[int(k.ksmd.arrays.nodes[node]["kpfn"])] = 0x7F7F7F7F7F7F7F7F


def mixed_chain(k: KsmHost) -> None:
    """One of two equal copies is not."""
    dup = position(k, lambda flags: bool(flags & DUP))
    k.host.arrays.words[int(k.ksmd.arrays.nodes[dup]["kpfn"]), 7] += 1


def not_a_dup(k: KsmHost) -> None:
    """A node in a chain that does not know it."""
    k.ksmd.arrays.nodes[position(k, lambda flags: bool(flags & DUP))]["flags"] &= ~DUP & 255


def wrong_length(k: KsmHost) -> None:
    """A node that counts a sharer too many."""
    k.ksmd.arrays.nodes[plain(k)]["rmap_hlist_len"] += 1


def not_stable(k: KsmHost) -> None:
    """A sharer that does not know it."""
    k.ksmd.arrays.items[int(k.ksmd.arrays.nodes[plain(k)]["hlist"])]["flags"] &= ~STABLE & 255


def wrong_link(k: KsmHost) -> None:
    """A sharer that points to another node."""
    k.ksmd.arrays.items[int(k.ksmd.arrays.nodes[plain(k)]["hlist"])]["parent"] = 77


def counter(name: str) -> Callable[[KsmHost], None]:
    """A counter that is one too high."""

    def corrupt(k: KsmHost) -> None:
        k.ksmd.arrays.st[0][name] += 1

    return corrupt


def process_counter(name: str) -> Callable[[KsmHost], None]:
    """A process's counter that is one too high."""

    def corrupt(k: KsmHost) -> None:
        k.ksmd.arrays.slots[1][name] += 1

    return corrupt


def item_zero(k: KsmHost) -> None:
    """The record that stands for nobody is somebody."""
    k.ksmd.arrays.items[0]["flags"] = EXISTS
    k.ksmd.arrays.st[0]["rmap_items"] += 1
    k.ksmd.arrays.slots[1]["rmap_items"] += 1


def in_both_trees(k: KsmHost) -> None:
    """A page of the unstable tree that thinks it is merged."""
    k.ksmd.arrays.items[unstable_page(k)]["flags"] |= STABLE
    k.ksmd.arrays.st[0]["pages_sharing"] += 1
    k.ksmd.arrays.slots[1]["merging_pages"] += 1


def without_item(k: KsmHost) -> None:
    """A page in a tree that ksmd has never visited."""
    k.ksmd.arrays.items[unstable_page(k)]["flags"] &= ~EXISTS & 255
    k.ksmd.arrays.st[0]["rmap_items"] -= 1
    k.ksmd.arrays.slots[1]["rmap_items"] -= 1


def in_anothers_tree(k: KsmHost) -> None:
    """A node that thinks itself in the tree of another NUMA node."""
    k.ksmd.arrays.nodes[plain(k)]["flags"] |= 1 << NID_SHIFT


def in_tree_and_list(k: KsmHost) -> None:
    """A node of the tree that thinks itself on the migrate list."""
    k.ksmd.arrays.nodes[plain(k)]["flags"] |= MIGRATED


def on_list(flags: int, before: int) -> Callable[[KsmHost], None]:
    """A node on the migrate list, which is in no tree."""

    def corrupt(k: KsmHost) -> None:
        node = int(k.ksmd.arrays.st[0]["fresh_node"])
        k.ksmd.arrays.nodes[node]["flags"], k.ksmd.arrays.nodes[node]["right"] = flags, before
        k.ksmd.arrays.st[0]["migrated"] = node

    return corrupt


CORRUPTIONS = [
    (red_root, "the stable tree of node 0 is not red-black"),
    (red_unstable_root, "the unstable tree of node 0 is not red-black"),
    (out_of_order, "the stable tree is out of order"),
    (mixed_chain, "a chain holds 2 different contents"),
    (not_a_dup, "a chain holds a node that is not a dup"),
    (wrong_length, r"node \d+ has another number of sharers"),
    (not_stable, r"page \d+ is on a stable node's list but not stable"),
    (wrong_link, r"page \d+ is linked wrongly"),
    *[
        (counter(name), rf"{name} is \d+, the records say \d+")
        for name in ("rmap_items", "pages_shared", "pages_sharing", "pages_unshared", "stable_node_dups")
    ],
    (process_counter("rmap_items"), "the processes' rmap_items do not add up"),
    (process_counter("merging_pages"), "the processes' merging pages do not add up"),
    (item_zero, "page 0 has an item"),
    (in_both_trees, "a page is in both trees"),
    (without_item, "a page without item is in a tree"),
    (in_anothers_tree, r"node \d+ is in the tree of another NUMA node"),
    (in_tree_and_list, r"node \d+ is in a tree and on the migrate list"),
    (on_list(0, 0), "the migrate list holds a node that is not migrated"),
    (on_list(MIGRATED, 77), r"node \d+ is linked wrongly on the migrate list"),
    (on_list(MIGRATED, 0), "the migrate list is in use with merge_across_nodes=1"),
]


@pytest.mark.parametrize(("corrupt", "message"), CORRUPTIONS)
def test_each_invariant_is_checked(k: KsmHost, corrupt: Callable[[KsmHost], None], message: str) -> None:
    corrupt(k)
    with pytest.raises(InvariantError, match=message):
        k.ksmd.check()


def test_every_complaint_is_tried() -> None:
    """A new invariant needs a new corruption above."""
    calls = [
        node
        for node in ast.walk(ast.parse(inspect.getsource(check)))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "_require"
    ]
    assert len(calls) > 10
    for call in calls:
        words = [node.value for node in ast.walk(call.args[1]) if isinstance(node, ast.Constant)]
        longest = max((str(word).strip(": (") for word in words), key=len)
        assert any(longest in message for _, message in CORRUPTIONS), longest
