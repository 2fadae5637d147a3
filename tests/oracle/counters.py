"""The counters, counted when asked for: ksmd's bookkeeping, never the page tables (but for zero pages).

Source: Documentation/admin-guide/mm/ksm.rst, mm/ksm.c (v6.18), behaviour only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from oracle.objects import PAGE_SIZE, Chain, Ksm, Mm
from oracle.rbtree import Node

ITEM_BYTES = 64
SINCE = {  # versions of Linux that have these counters
    "ksm_rmap_items": (5, 19),
    "ksm_merging_pages": (5, 19),
    "general_profit": (6, 4),
    "ksm_process_profit": (6, 4),
    "ksm_zero_pages": (6, 6),
    "pages_scanned": (6, 6),
    "pages_skipped": (6, 7),
}


def system(ksm: Ksm, living: Iterable[Mm]) -> dict[str, Any]:
    """Return the system's counters and each living process's, in the order of the script specification."""
    items = list(ksm.items())
    stable = [item.node for item in items if item.node is not None]
    shared = len(set(stable))
    sharing = len(stable) - shared
    unshared = sum(item.seq is not None for item in items)
    zeros = sum(len(mm.ksm_zeros) for mm in living)
    chains = [node for tree in ksm.stable for node in in_order(tree.root) if isinstance(node, Chain)]
    figures = {
        "pages_shared": shared,
        "pages_sharing": sharing,
        "pages_unshared": unshared,
        "pages_volatile": max(0, len(items) - shared - sharing - unshared),
        "ksm_zero_pages": zeros,
        "stable_node_chains": len(chains),
        "stable_node_dups": sum(len(chain.dups) for chain in chains),
        "general_profit": (sharing + zeros) * PAGE_SIZE - len(items) * ITEM_BYTES,
        "full_scans": ksm.seqnr,
        "pages_scanned": ksm.pages_scanned,
        "pages_skipped": ksm.pages_skipped,
    }
    known = {name: value if ksm.version >= SINCE.get(name, (0, 0)) else None for name, value in figures.items()}
    return {**known, "vms": {mm.name: process(ksm, mm) for mm in living}}


def records(mm: Mm) -> tuple[int, int]:
    """Items and merging pages of a process, as they are shown."""
    return len(mm.items) + mm.surplus[0], sum(item.node is not None for item in mm.items) + mm.surplus[1]


def process(ksm: Ksm, mm: Mm) -> dict[str, int | None]:
    """Return what /proc/PID/ksm_stat says of a process; None where this version says nothing."""
    items, merging = records(mm)
    figures = {
        "ksm_rmap_items": items,
        "ksm_zero_pages": len(mm.ksm_zeros),
        "ksm_merging_pages": merging,
        "ksm_process_profit": (merging + len(mm.ksm_zeros)) * PAGE_SIZE - items * ITEM_BYTES,
    }
    return {name: value if ksm.version >= SINCE.get(name, (0, 0)) else None for name, value in figures.items()}


def status(ksm: Ksm, mm: Mm) -> dict[str, Any]:
    """Return whether all of a process is to be merged, and the lines of its ksm_stat."""
    if ksm.version < (6, 4):
        lines = process(ksm, mm) if ksm.version >= SINCE["ksm_rmap_items"] else {}
        return {"get_memory_merge": "EINVAL", **{name: lines[name] for name in lines if name == "ksm_rmap_items"}}
    said = {name: value for name, value in process(ksm, mm).items() if value is not None}
    answer: dict[str, Any] = {"get_memory_merge": int(mm.merges_all), **said}
    if ksm.version >= (6, 15):
        answer["ksm_merge_any"] = "yes" if mm.merges_all else "no"
        answer["ksm_mergeable"] = "yes" if mm.mergeable else "no"
    return answer


def in_order(node: Node | None) -> Iterator[Node]:
    """Yield the nodes of a tree in order."""
    if node is not None:
        yield from in_order(node.left)
        yield node
        yield from in_order(node.right)
