"""Verification of the hash table: every frame in one chain or free, its bucket right, its count to be had."""

from __future__ import annotations

import numpy as np

from vmdedup.errors import InvariantError
from vmdedup.host.memory import Host
from vmdedup.policy.esx.layout import COUNT_LARGE, FREE, IN_USE, ZERO_FRAME, Tables


def check_tables(host: Host, tables: Tables) -> None:
    """Raise InvariantError, naming what is wrong, unless all of this holds:

    - each frame but 0 is in one chain or on the free list, once; a chain ends with its own bucket's number;
    - as many are in use as the state says, the zero page's among them;
    - a hint names a page of an address space that can be, a shared frame a frame of the host;
    - the overflow table has exactly the frames whose count does not fit, with such counts.
    """
    seen = np.zeros(len(tables.frames), np.int64)
    for bucket, head in enumerate(tables.heads.tolist()):
        end = _follow(tables, head, seen)
        _require(end == -1 - bucket, f"the chain of bucket {bucket} ends with {end}")
    used = seen > 0
    _require(int(used.sum()) == int(tables.state[IN_USE]), "more or fewer frames are in chains than are in use")
    _require(bool(used[ZERO_FRAME]), "the zero page's frame is in no chain")
    _follow(tables, int(tables.state[FREE]), seen)
    _require(bool((seen[1:] == 1).all()), "a frame is in no chain, and not free either")
    hints = tables.frames[used & (tables.frames["count"] == 0)]
    _require(bool((hints["low"] < len(host.arrays.mms)).all()), "a hint names an address space that cannot be")
    shared = tables.frames[tables.frames["count"] > 0]
    _require(bool((shared["page"] < len(host.arrays.frames)).all()), "a shared frame names no frame of the host")
    large = tables.large[tables.large[:, 0] > 0]
    expected = np.flatnonzero(tables.frames["count"] == COUNT_LARGE)
    _require(np.array_equal(np.sort(large[:, 0]), expected), "the overflow table has other frames")
    _require(bool((large[:, 1] >= COUNT_LARGE).all()), "the overflow table has a count that would fit elsewhere")


def _follow(tables: Tables, head: int, seen: np.ndarray) -> int:
    """Mark a chain's frames. Returns how it ends."""
    at = head
    while at > 0:
        seen[at] += 1
        _require(seen[at] == 1, f"frame {at} is in two chains")
        at = int(tables.frames["link"][at])
    return at


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise InvariantError(f"ESX's hash table is inconsistent: {message}")
