"""Verification of XLH's records against themselves and ksmd's."""

from __future__ import annotations

import numpy as np

from vmdedup.errors import InvariantError
from vmdedup.ksm.layout import UNSTABLE, KsmArrays
from vmdedup.policy.xlh.layout import HASH_TABLE, VARIANT, XlhArrays


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise InvariantError(f"XLH's records are inconsistent: {message}")


def check_xlh(k: KsmArrays, x: XlhArrays) -> None:
    """Raise InvariantError unless chains are linked both ways and hold just the pages that say so.

    With the hash table, a page that waits outside of ksmd's tree is in its checksum's slot.
    """
    linked = 0
    for slot in np.flatnonzero(x.heads).tolist():
        entry, before = int(x.heads[slot]), 0
        while entry:
            _require(int(x.slots[entry]) == slot + 1, f"page {entry} is in slot {slot} and says otherwise")
            _require(int(x.before[entry]) == before, f"page {entry} is linked wrongly")
            linked, before, entry = linked + 1, entry, int(x.following[entry])
    _require(linked == np.count_nonzero(x.slots), "a page says that it is in the hash table, and is not")
    if x.st[VARIANT] == HASH_TABLE and not k.unstable.any():
        waiting = np.flatnonzero(k.items["flags"] & UNSTABLE)
        slots = k.items["oldchecksum"][waiting] % len(x.heads)
        _require(bool((x.slots[waiting] == slots + 1).all()), "a page waits in another slot than its checksum's")
