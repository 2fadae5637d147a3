"""The engine's state as plain values, in the form of oracle.snapshot, and the oracle's in the same form.

A stale node's frame may hold anything by now, so its content is left out on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from oracle import OracleMachine, unstable_shape
from oracle import item_states as oracle_items
from oracle.objects import Chain, Mm
from oracle.objects import StableNode as OracleNode
from oracle.rbtree import Node
from oracle.snapshot import ItemState, Page, UnstableShape, content_key
from vmdedup.host.frames import node_of
from vmdedup.host.layout import (
    COUNT_MASK,
    FRAME_MASK,
    FRAME_SHIFT,
    MERGEABLE,
    NODE_SHIFT,
    PRESENT,
    ZERO,
    HostArrays,
)
from vmdedup.host.memory import Host
from vmdedup.jit.rbtree import RED
from vmdedup.ksm.ksmd import Ksmd
from vmdedup.ksm.layout import CHAIN, EXISTS, STABLE, UNSTABLE, KsmArrays

Dup = tuple[str, tuple[Page, ...]]  # content, "" for a stale node; sharers, newest first
StableShape = tuple["StableShape", tuple[Dup, ...], bool, "StableShape"] | None


class State(NamedTuple):
    """All that decisions depend on. kinds: what each page of the living maps: zero, placed, ksm, own; on which node.

    migrated: the nodes on the migrate list, front first.
    """

    items: dict[Page, ItemState]
    unstable: list[UnstableShape]
    stable: list[StableShape]
    migrated: list[Dup]
    kinds: dict[Page, str]


def engine_state(ksmd: Ksmd) -> State:
    """The engine's."""
    h, k = ksmd.host.arrays, ksmd.arrays
    return State(
        items=dict(_items(h, k)),
        unstable=[_unstable(h, k, int(root)) for root in k.unstable],
        stable=[_stable(h, k, int(root)) for root in k.stable],
        migrated=[_dup(h, k, node) for node in _dups(k, int(k.st[0]["migrated"]))],
        kinds=dict(_kinds(ksmd.host)),
    )


def oracle_state(machine: OracleMachine) -> State:
    """The oracle's."""
    ksm = machine.ksm
    return State(
        items=oracle_items(ksm),
        unstable=[unstable_shape(ksm, nid) for nid in range(ksm.nodes)],
        stable=[_oracle_stable(tree.root) for tree in ksm.stable],
        migrated=[_oracle_dup(node) for node in ksm.migrated],
        kinds={(mm.name, page): _oracle_kind(mm, page) for mm in machine.living.values() for page in mm.ptes},
    )


def page_of(h: HostArrays, entry: int) -> Page:
    """Whose page table entry that is, and which page."""
    first, pages = h.mms["first"], h.mms["pages"]
    mm = int(np.flatnonzero((first <= entry) & (entry < first + pages) & (pages > 0))[0])
    return h.mms[mm]["name"].decode(), entry - int(first[mm])


def _items(h: HostArrays, k: KsmArrays) -> Iterator[tuple[Page, ItemState]]:
    """Along ksmd's list, as the oracle has it."""
    mm = int(k.slots[0]["next"])
    while mm:
        first, pages = int(h.mms[mm]["first"]), int(h.mms[mm]["pages"])
        for page, item in enumerate(k.items[first : first + pages]):
            if item["flags"] & EXISTS:
                yield (h.mms[mm]["name"].decode(), page), _item_state(item)
        mm = int(k.slots[mm]["next"])


def _item_state(item: Any) -> ItemState:
    flags = int(item["flags"])
    state = "STABLE" if flags & STABLE else "UNSTABLE" if flags & UNSTABLE else "NONE"
    return ItemState(state, int(item["oldchecksum"]), int(item["age"]), int(item["remaining_skips"]))


def _unstable(h: HostArrays, k: KsmArrays, x: int) -> UnstableShape:
    if x == 0:
        return None
    item = k.items[x]
    left, right = _unstable(h, k, int(item["left"])), _unstable(h, k, int(item["right"]))
    return left, page_of(h, x), bool(item["flags"] & RED), right


def _stable(h: HostArrays, k: KsmArrays, x: int) -> StableShape:
    if x == 0:
        return None
    node = k.nodes[x]
    dups = _dups(k, int(node["kpfn"])) if node["flags"] & CHAIN else [x]
    here = tuple(_dup(h, k, dup) for dup in dups)
    return (
        _stable(h, k, int(node["left"])),
        here,
        bool(node["flags"] & RED),
        _stable(h, k, int(node["right"])),
    )


def _dup(h: HostArrays, k: KsmArrays, node: int) -> Dup:
    return _content(h, k, node), tuple(_sharers(h, k, node))


def _dups(k: KsmArrays, dup: int) -> Iterator[int]:
    while dup:
        yield dup
        dup = int(k.nodes[dup]["left"])


def _content(h: HostArrays, k: KsmArrays, node: int) -> str:
    pfn = int(k.nodes[node]["kpfn"])
    word = int(h.frames[pfn])
    is_alive = word & COUNT_MASK and word >> NODE_SHIFT == node
    return content_key(h.bytes[pfn].tobytes()) if is_alive else ""


def _sharers(h: HostArrays, k: KsmArrays, node: int) -> Iterator[Page]:
    entry = int(k.nodes[node]["hlist"])
    while entry:
        yield page_of(h, entry)
        entry = int(k.items[entry]["left"])


def _kinds(host: Host) -> Iterator[tuple[Page, str]]:
    for memory in host.live():
        for page in np.flatnonzero(memory.entries & PRESENT).tolist():
            entry = int(memory.entries[page])
            pfn = (entry >> FRAME_SHIFT) & FRAME_MASK
            if pfn == 0:
                kind = "placed" if entry & ZERO else "zero"
            else:
                kind = "ksm" if int(host.arrays.frames[pfn]) >> NODE_SHIFT else "own"
                kind += f" on {node_of(host.arrays, pfn)}"
            yield (memory.name, page), kind + ("" if entry & MERGEABLE else ", not mergeable")


def _oracle_kind(mm: Mm, page: int) -> str:
    frame = mm.ptes[page]
    if frame is mm.zero:
        kind = "placed" if page in mm.ksm_zeros else "zero"
    else:
        kind = f"{'ksm' if frame.ksm else 'own'} on {frame.nid}"
    return kind + ("" if page in mm.mergeable else ", not mergeable")


def _oracle_stable(node: Node | None) -> StableShape:
    if node is None:
        return None
    dups = node.dups if isinstance(node, Chain) else [node]
    nodes = [dup for dup in dups if isinstance(dup, OracleNode)]
    here = tuple(_oracle_dup(dup) for dup in nodes)
    return _oracle_stable(node.left), here, node.red, _oracle_stable(node.right)


def _oracle_dup(dup: OracleNode) -> Dup:
    content = "" if dup.stale else content_key(dup.frame.data)
    return content, tuple((item.mm.name, item.page) for item in dup.items)
