"""A new ksmd on a host where another one has died: what was merged stays merged. Kernels only.

Nothing of the dead ksmd's records can be trusted, but host memory says which frames are KSM frames, and their
content cannot change. So each gets a stable node again, without sharers. The first visit of each page that
maps one counts it among the sharers, as it does for the child of a fork; after one full scan the counters are
what they would have been.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.frames import set_stable_node
from vmdedup.host.layout import COUNT_MASK, CTL_STALE, NO_NODE, NODE_SHIFT
from vmdedup.jit.kernel import kernel
from vmdedup.ksm.stable import stable_tree_insert


@kernel
def adopt_ksm_frames(h: Any, k: Any) -> int:
    """Give every KSM frame a stable node; k is new and empty, and nobody runs. Returns how many there are."""
    h.ctl[CTL_STALE] = 0
    adopted = 0
    for pfn in range(1, len(h.frames)):
        if h.frames[pfn] & COUNT_MASK and h.frames[pfn] >> NODE_SHIFT:
            set_stable_node(h, pfn, NO_NODE)
    for pfn in range(1, len(h.frames)):
        if h.frames[pfn] & COUNT_MASK and h.frames[pfn] >> NODE_SHIFT == NO_NODE:
            stable_tree_insert(h, k, pfn)
            adopted += 1
    return adopted
