"""Verification of the ladder and of both indices, while nobody runs."""

from __future__ import annotations

import numpy as np

from vmdedup.errors import InvariantError
from vmdedup.host.frames import stable_node_of
from vmdedup.host.memory import Host
from vmdedup.policy.uksm.index import chain_of, is_crowded, top_chain_of
from vmdedup.policy.uksm.known import first_wrong
from vmdedup.policy.uksm.layout import HAS_TOP, LINKED, STRENGTH, TO_DO, ZERO_KEY, Index, Tables
from vmdedup.policy.uksm.partial import change_strength


def check_tables(host: Host, tables: Tables) -> None:
    """Raise InvariantError, naming what is wrong, unless all of this holds:

    - each slot in use is on one rung, whose counts of slots and pages are right, and no other is on any;
    - a slot's sampling is within its pages; as many slots are to be gone through as the state says;
    - an index has exactly what is marked as linked, each in the chain of its hash;
    - the hash of each shared frame, and of the zero page, is that of the present strength;
    - what is known of pages that nobody stored to is right.
    """
    words = tables.found.copy()
    _check_ladder(tables)
    for index in (tables.stable, tables.unstable):
        _check_index(index)
    for pfn in np.flatnonzero(tables.stable.flags & LINKED).tolist():
        if stable_node_of(host.arrays, pfn):  # else it is stale, and will be noticed when it is met
            _check_key(host, tables, pfn, int(tables.stable.key[pfn]))
    wrong = first_wrong(host.arrays, tables)
    _require(wrong == 0, f"page {wrong} has another hash than is known of it")
    _check_key(host, tables, 0, int(tables.state[ZERO_KEY]))
    tables.found[:] = words  # what was hashed here is no work of the policy


def _check_ladder(tables: Tables) -> None:
    seen = np.zeros(len(tables.slots), np.int64)
    for rung, r in enumerate(tables.rungs):
        at, before, pages = int(r["first"]), 0, 0
        while at:
            slot = tables.slots[at]
            seen[at] += 1
            _require(seen[at] == 1, f"slot {at} is on two rungs")
            _require(slot["rung"] == rung and slot["prev"] == before, f"slot {at} is on another rung than it says")
            _require(0 <= slot["sampled"] <= slot["pages"], f"slot {at} was sampled too often")
            _require(0 <= slot["scanned"] < slot["pages"], f"slot {at} was gone through and not judged")
            pages += int(slot["pages"])
            at, before = int(slot["next"]), at
        _require(pages == r["pages"] and before == r["last"], f"rung {rung} has other pages than it says")
    in_use = tables.slots["mm"] != 0
    _require(np.array_equal(seen == 1, in_use), "a slot in use is on no rung, or a free one is")
    _require(int(tables.rungs["slots"].sum()) == int(in_use.sum()), "the rungs have more or fewer slots than they say")
    _require(int((tables.slots["done"][in_use] == 0).sum()) == tables.state[TO_DO], "the global round is miscounted")


def _check_index(index: Index) -> None:
    seen = np.zeros(len(index.flags), np.int64)
    for bucket in np.flatnonzero(index.heads).tolist():
        at, before = int(index.heads[bucket]), 0
        while at:
            seen[at] += 1
            _require(seen[at] == 1, f"{at} is in an index twice")
            _require(index.prev[at] == before, f"{at} does not know what is before it in its chain")
            _require(_chain(index, at) == bucket, f"{at} is in the wrong chain")
            at, before = int(index.next[at]), at
    _require(int(seen.sum()) == index.size[0], "an index has more or fewer members than it says")
    _require(np.array_equal(seen == 1, (index.flags & LINKED) != 0), "an index has other members than are marked")


def _chain(index: Index, number: int) -> int:
    key, top = int(index.key[number]), int(index.top[number])
    if index.flags[number] & HAS_TOP:
        return int(top_chain_of(index, key, top))
    _require(not is_crowded(index, key), f"{number} is not in the second level")
    return int(chain_of(index, key))


def _check_key(host: Host, tables: Tables, pfn: int, key: int) -> None:
    digest = change_strength(host.arrays.words, tables, pfn, 0, 0, int(tables.state[STRENGTH]))
    _require(int(digest) == key, f"frame {pfn} has another hash than is known of it")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise InvariantError(f"UKSM's records are inconsistent: {message}")
