"""Stable nodes whose frame has moved to another NUMA node: they wait on a list, in no tree. Kernels only.

A node comes here when a visit, or a search, finds that its frame has left the node whose tree it stands in; it leaves
when one of its pages is visited and the tree of the frame's new node is searched. Its sharers and counters stay with it
meanwhile. Only with merge_across_nodes=0.
"""

from __future__ import annotations

from typing import Any

from vmdedup.jit.kernel import kernel
from vmdedup.ksm.layout import MIGRATED


@kernel
def put_on_list(k: Any, node: int) -> None:
    """Put a node that is in no tree and no chain at the front of the list."""
    first = k.st[0]["migrated"]
    k.nodes[node]["flags"] |= MIGRATED
    k.nodes[node]["left"] = first
    k.nodes[node]["right"] = 0
    if first != 0:
        k.nodes[first]["right"] = node
    k.st[0]["migrated"] = node


@kernel
def take_off_list(k: Any, node: int) -> None:
    """Take a node off the list; it is in no tree then."""
    following = k.nodes[node]["left"]
    before = k.nodes[node]["right"]
    if following != 0:
        k.nodes[following]["right"] = before
    if before != 0:
        k.nodes[before]["left"] = following
    else:
        k.st[0]["migrated"] = following
    k.nodes[node]["flags"] &= ~MIGRATED & 255
