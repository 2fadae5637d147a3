"""Chains of equal hash bits: putting in and taking out. Kernels only."""

from __future__ import annotations

from typing import Any

from vmdedup.jit.kernel import kernel
from vmdedup.policy.uksm.layout import HAS_TOP, LINKED


@kernel
def head_of(x: Any, key: int) -> int:
    """The first in the chain in which that hash would be; 0 if there is none."""
    first: int = x.heads[key & (len(x.heads) - 1)]
    return first


@kernel
def link(x: Any, number: int, key: int) -> None:
    """Put something into the index, of which only the hash is known yet."""
    bucket = key & (len(x.heads) - 1)
    following = x.heads[bucket]
    x.key[number] = key
    x.next[number] = following
    x.prev[number] = 0
    if following != 0:
        x.prev[following] = number
    x.heads[bucket] = number
    x.flags[number] = (x.flags[number] & (~HAS_TOP & 255)) | LINKED


@kernel
def unlink(x: Any, number: int) -> None:
    """Take something out, if it is in the index."""
    if not x.flags[number] & LINKED:
        return
    before, following = x.prev[number], x.next[number]
    if before == 0:
        x.heads[x.key[number] & (len(x.heads) - 1)] = following
    else:
        x.next[before] = following
    if following != 0:
        x.prev[following] = before
    x.flags[number] &= ~(LINKED | HAS_TOP) & 255


@kernel
def set_top(x: Any, number: int, top: int) -> None:
    """Note the strongest hash: from now on it is compared before the bytes are."""
    x.top[number] = top
    x.flags[number] |= HAS_TOP
