"""The records that XLH keeps beside ksmd's, declared once. They are private to its process.

Bytes a guest page: 1 for its protection, 12 for its place in the hash table, 8 for when it was hinted.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# Variants: what a hinted page without partner waits in.
READ_WRITE = 0  # the unstable tree, although it may change there at any time
READ_ONLY = 1  # the unstable tree, write-protected; a page that is stored to is taken out
HASH_TABLE = 2  # a hash table in the tree's place

SLOTS = 1 << 18  # of the hash table

# Words of the state.
VARIANT = 0
HINTED = 1  # pages looked at because of a hint
MISSED = 2  # of these, pages that were gone, or not to be merged
FOUND_BY_HINT = 3  # pages merged when looked at because of a hint
FOUND_BY_SCAN = 4  # pages merged when the linear scan came by
WAITED = 5  # merged pages that had been hinted before, by either
WAITED_MS = 6  # time from their last hint until then, added up
PROTECTED = 7  # pages write-protected as they were inserted
CHANGED = 8  # pages taken out of the tree or table because they had changed there
NOTED = 9  # pages inserted while they were write-protected, whoever had done that; 0: none has to be looked for
STATE_WORDS = 10

# Words of what is known of the turns.
RUN = 0  # which run of the cycle it is at: runs for hints come first
IN_RUN = 1  # pages of it that have been scanned
HINT_RUNS = 2  # of a cycle
SCAN_RUNS = 3
RUN_LENGTH = 4  # pages
SERVED = 5  # hints of this batch
TURN_WORDS = 6


class XlhArrays(NamedTuple):
    """XLH's records as kernels see them."""

    st: npt.NDArray[np.int64]  # STATE_WORDS
    read_only: npt.NDArray[np.uint8]  # [entries] whether a page of the unstable tree was put in write-protected
    heads: npt.NDArray[np.int32]  # [SLOTS] first page of each slot's chain; 0: none
    following: npt.NDArray[np.int32]  # [entries] next of the chain; 0: none
    before: npt.NDArray[np.int32]  # [entries] the one before; 0: it is the first
    slots: npt.NDArray[np.int32]  # [entries] slot that a page is in, plus 1; 0: in none
    hinted_at: npt.NDArray[np.int64]  # [entries] when the last hint came, ms plus 1; 0: none since it was merged


def make(entries: int) -> XlhArrays:
    """Records for that many page table entries; sparse."""
    return XlhArrays(
        st=np.zeros(STATE_WORDS, np.int64),
        read_only=np.zeros(entries, np.uint8),
        heads=np.zeros(SLOTS, np.int32),
        following=np.zeros(entries, np.int32),
        before=np.zeros(entries, np.int32),
        slots=np.zeros(entries, np.int32),
        hinted_at=np.zeros(entries, np.int64),
    )
