"""Chains of equal hash bits: putting in and taking out. Kernels only.

What has a hash of its own is found by that. Once different contents of equal hash were seen in a chain it is *crowded*:
then all that belongs into it stands in a second level, in the chains of hash and strongest hash together.
"""

from __future__ import annotations

from typing import Any

from vmdedup.jit.kernel import kernel
from vmdedup.policy.uksm.layout import HAS_TOP, LINKED

SPREAD = 0x9E3779


@kernel
def chain_of(x: Any, key: int) -> int:
    """The chain of a hash."""
    return key & (len(x.heads) - 1)


@kernel
def top_chain_of(x: Any, key: int, top: int) -> int:
    """The chain of a hash and a strongest hash."""
    return (key ^ (top * SPREAD >> 16)) & (len(x.heads) - 1)


@kernel
def depth_of(x: Any) -> int:
    """Steps of a look into the tree that the kernel has in its place."""
    depth = 0
    while x.size[0] >> depth != 0:
        depth += 1
    return depth


@kernel
def is_crowded(x: Any, key: int) -> bool:
    """Whether what has this hash stands in the second level."""
    crowded: bool = x.crowded[chain_of(x, key)] != 0
    return crowded


@kernel
def link(x: Any, number: int, key: int) -> None:
    """Put something into the index by its hash."""
    x.key[number] = key
    x.flags[number] = (x.flags[number] & (~HAS_TOP & 255)) | LINKED
    _link(x, number, chain_of(x, key))


@kernel
def link_top(x: Any, number: int, key: int, top: int) -> None:
    """Put something into the second level."""
    x.key[number] = key
    x.top[number] = top
    x.flags[number] |= LINKED | HAS_TOP
    _link(x, number, top_chain_of(x, key, top))


@kernel
def _link(x: Any, number: int, chain: int) -> None:
    following = x.heads[chain]
    x.size[0] += 1
    x.next[number] = following
    x.prev[number] = 0
    if following != 0:
        x.prev[following] = number
    x.heads[chain] = number


@kernel
def unlink(x: Any, number: int) -> None:
    """Take something out, if it is in the index."""
    if not x.flags[number] & LINKED:
        return
    x.size[0] -= 1
    before, following = x.prev[number], x.next[number]
    if before != 0:
        x.next[before] = following
    elif x.flags[number] & HAS_TOP:
        x.heads[top_chain_of(x, x.key[number], x.top[number])] = following
    else:
        x.heads[chain_of(x, x.key[number])] = following
    if following != 0:
        x.prev[following] = before
    x.flags[number] &= ~(LINKED | HAS_TOP) & 255
