"""Hint frames and shared frames in their chains, and the counts that do not fit into 16 bits. Kernels only."""

from __future__ import annotations

from typing import Any

from vmdedup.host.frames import stable_node_of
from vmdedup.jit.kernel import kernel
from vmdedup.policy.esx.layout import COUNT_LARGE, EVICTED, FREE, HAND, IN_USE, ZERO_FRAME

MASK_16 = 0xFFFF
MASK_32 = 0xFFFFFFFF


@kernel
def high_of(digest: int) -> int:
    """The upper 32 bits of a hash."""
    return (digest >> 32) & MASK_32


@kernel
def low_of(digest: int) -> int:
    """The 16 bits below those."""
    return (digest >> 16) & MASK_16


@kernel
def bucket_of(t: Any, digest: int) -> int:
    """The chain that a hash belongs to."""
    return digest & (len(t.heads) - 1)


@kernel
def is_valid(h: Any, t: Any, frame: int) -> bool:
    """Whether a shared frame's machine page is still the one that it was made for."""
    pfn = t.frames[frame]["page"]
    return frame == ZERO_FRAME or stable_node_of(h, pfn) == frame


@kernel
def link(t: Any, frame: int, bucket: int) -> None:
    """Put a frame at the head of a chain."""
    t.frames[frame]["link"] = t.heads[bucket]
    t.heads[bucket] = frame


@kernel
def unlink(t: Any, frame: int) -> None:
    """Take a frame out of its chain, whose end says which one it is."""
    end = t.frames[frame]["link"]
    while end > 0:
        end = t.frames[end]["link"]
    bucket = -1 - end
    at = t.heads[bucket]
    if at == frame:
        t.heads[bucket] = t.frames[frame]["link"]
        return
    while t.frames[at]["link"] != frame:
        at = t.frames[at]["link"]
    t.frames[at]["link"] = t.frames[frame]["link"]


@kernel
def drop(t: Any, frame: int) -> None:
    """Take a frame out of its chain and let it be used again."""
    unlink(t, frame)
    if t.frames[frame]["count"] > 0:
        set_count(t, frame, 0)
    t.frames[frame]["link"] = t.state[FREE]
    t.state[FREE] = frame
    t.state[IN_USE] -= 1


@kernel
def take(h: Any, t: Any) -> int:
    """A frame in no chain; if none is free, that of the hint next in turn is given up. 0 if all are shared frames."""
    if t.state[FREE] == 0:
        _evict(h, t)
    frame: int = t.state[FREE]
    if frame != 0:
        t.state[FREE] = t.frames[frame]["link"]
        t.state[IN_USE] += 1
    return frame


@kernel
def _evict(h: Any, t: Any) -> None:
    for _ in range(len(t.frames)):
        frame = t.state[HAND]
        t.state[HAND] = frame + 1 if frame + 1 < len(t.frames) else ZERO_FRAME + 1
        if t.frames[frame]["count"] == 0 or not is_valid(h, t, frame):
            drop(t, frame)
            t.found[EVICTED] += 1
            return


@kernel
def count_of(t: Any, frame: int) -> int:
    """Who maps a shared frame; 0 for a hint."""
    count: int = t.frames[frame]["count"]
    if count == COUNT_LARGE:
        count = t.large[_place(t, frame), 1]
    return count


@kernel
def set_count(t: Any, frame: int, count: int) -> None:
    """Note who maps a shared frame, in the overflow table if it does not fit. Source: waldspurger2002, section 4.2."""
    if t.frames[frame]["count"] == COUNT_LARGE:
        at = _place(t, frame)
        t.large[at, 0] = 0
    t.frames[frame]["count"] = min(count, COUNT_LARGE)
    if count >= COUNT_LARGE:
        at = _place(t, 0)
        t.large[at, 0] = frame
        t.large[at, 1] = count


@kernel
def _place(t: Any, frame: int) -> int:
    """Where the overflow table has a frame; frame 0: where it has room. It has room for all that can be so large."""
    at = 0
    while t.large[at, 0] != frame:
        at += 1
    return at
