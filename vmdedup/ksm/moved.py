"""The visit of a page that is merged already: whether it is counted, and whether its frame has moved. Kernels only."""

from __future__ import annotations

from typing import Any

from vmdedup.host.frames import node_of, stable_node_of
from vmdedup.jit.atomic import load
from vmdedup.jit.kernel import kernel
from vmdedup.ksm.layout import MIGRATED, STABLE
from vmdedup.ksm.order import KEY_VALID
from vmdedup.ksm.rmap import remove_from_tree
from vmdedup.ksm.stable import stable_tree_search
from vmdedup.ksm.stable_node import link_item, migrate, nid_of_node
from vmdedup.ksm.unstable import candidate_frame


@kernel
def seeks_its_like(h: Any, k: Any, entry: int, pfn: int, node: int) -> bool:
    """Whether a page goes on to the unstable tree although its frame is a KSM frame with a stable node.

    Only a page whose frame has moved to another NUMA node may have to. Source: mm/ksm.c:cmp_and_merge_page.
    """
    item = k.items[entry]
    is_counted = item["flags"] & STABLE and item["parent"] == node
    found = node
    if not k.st[0]["merge_across_nodes"] and _is_on_list(h, k, pfn, node):
        found = stable_tree_search(h, k, pfn, k.nodes[node]["key"], node)
    if found == node and is_counted:
        return False
    key = k.nodes[node]["key"]
    remove_from_tree(h, k, entry)
    if found == node:
        _join(h, k, entry, pfn, node)
    elif found == 0:
        item["key"] = key | KEY_VALID  # the content cannot have changed since the node was made
    # To merge with another node's frame is tried, and always fails: the page is merged already.
    return found == 0


@kernel
def _is_on_list(h: Any, k: Any, pfn: int, node: int) -> bool:
    """Whether a node is on the migrate list, where it is put if its frame has left the node's tree."""
    if k.nodes[node]["flags"] & MIGRATED:
        return True
    if node_of(h, pfn) == nid_of_node(k, node):
        return False
    migrate(k, node)
    return True


@kernel
def _join(h: Any, k: Any, entry: int, pfn: int, node: int) -> None:
    """Count a page that maps a KSM frame already, as the child of a fork does, among the frame's sharers."""
    # The guest may have discarded the page since it was looked at, and its frame may be somebody else's now.
    if candidate_frame(load(h.pte, entry)) == pfn and stable_node_of(h, pfn) == node:
        link_item(h, k, entry, node)
