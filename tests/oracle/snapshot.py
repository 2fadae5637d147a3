"""The oracle's state as plain values: per-page state and tree shapes, for comparison with another engine."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from oracle.objects import Chain, Frame, Ksm, RmapItem, StableNode
from oracle.rbtree import Node

Page = tuple[str, int]
UnstableShape = tuple["UnstableShape", Page, bool, "UnstableShape"] | None
StableShape = tuple["StableShape", tuple[str, tuple[tuple[Page, ...], ...]], bool, "StableShape"] | None


class ItemState(NamedTuple):
    """One rmap item. state: NONE, UNSTABLE or STABLE."""

    state: str
    oldchecksum: int
    age: int
    remaining_skips: int


def content_key(data: bytes) -> str:
    """Return a short name for a page's content: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]


def item_states(ksm: Ksm) -> dict[Page, ItemState]:
    """Return the state of every rmap item by (process, page), those of the dead included, in ksmd's order."""
    return {
        (item.mm.name, item.page): ItemState(_state(item), item.oldchecksum, item.age, item.remaining_skips)
        for item in ksm.items()
    }


def unstable_shape(ksm: Ksm, nid: int = 0) -> UnstableShape:
    """Return the unstable tree of a NUMA node as (left, (process, page), red, right), None where there is nothing.

    Between two full scans that is the tree of the scan that is over, items removed since then included.
    """
    return _unstable(ksm.unstable[nid].root)


def stable_shape(ksm: Ksm, nid: int = 0) -> StableShape:
    """Return the stable tree of a NUMA node as (left, (content, sharers), red, right), None where there is nothing.

    sharers has a tuple for each node at that place, in the order of the chain, with its (process, page)s,
    newest first; a place without a chain has one. content is content_key() of the first node, "" for an empty
    chain.
    """
    return _stable(ksm.stable[nid].root)


def _state(item: RmapItem) -> str:
    return "STABLE" if item.node is not None else "NONE" if item.seq is None else "UNSTABLE"


def _unstable(node: Node | None) -> UnstableShape:
    if node is None:
        return None
    assert isinstance(node, RmapItem)
    return _unstable(node.left), (node.mm.name, node.page), node.red, _unstable(node.right)


def _stable(node: Node | None) -> StableShape:
    if node is None:
        return None
    dups = node.dups if isinstance(node, Chain) else [node]
    nodes = [dup for dup in dups if isinstance(dup, StableNode)]
    frames: list[Frame] = [dup.frame for dup in nodes]
    content = content_key(frames[0].data) if frames else ""
    sharers = tuple(tuple((item.mm.name, item.page) for item in dup.items) for dup in nodes)
    return _stable(node.left), (content, sharers), node.red, _stable(node.right)
