"""What the policy knows of pages and frames, declared once. Private to its process; nothing breaks without."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.memory import Host

# What is counted.
VISITED = 0  # page table entries looked at
WORKING_SET = 1  # pages left alone because they had been used since the last visit
HASHED = 2
COMPARED = 3
COPIED = 4  # pages copied to a frame of the pool
MERGED = 5  # pages guarded that had an equal already
FAKE_MERGED = 6  # pages guarded that had none
BUSY = 7  # pages that were used while they were being worked on
ABSENT = 8  # entries among VISITED without a frame of their own, or in use
FIGURES = 9

# Words of settings.
IDLE = 0  # visits without use until a page is idle
SETTINGS = 1

MOST_IDLE: Final = 250  # that is as far as idle visits are counted


class Tables(NamedTuple):
    """A hash table of guarded frames, by content, with chaining; and what is known of each page.

    A frame that is freed stays in its chain until somebody comes across it. entries, frames: of the host.
    """

    heads: NDArray[np.int32]  # (buckets,): first frame of each chain; 0: none. As many as a power of two
    link: NDArray[np.int32]  # (frames,): the next of the chain
    linked: NDArray[np.uint8]  # (frames,): whether it is in a chain
    digest: NDArray[np.int64]  # (frames,): XXH64 of what it had when it was put there
    idle: NDArray[np.uint8]  # (entries,): visits in a row that found it unused
    settings: NDArray[np.int64]  # (SETTINGS,)
    found: NDArray[np.int64]  # (FIGURES,): what has been done so far


def make_tables(host: Host) -> Tables:
    """Empty ones for a host."""
    frames, entries = len(host.arrays.frames), len(host.arrays.pte)
    return Tables(
        heads=np.zeros(1 << max(4, frames.bit_length()), np.int32),
        link=np.zeros(frames, np.int32),
        linked=np.zeros(frames, np.uint8),
        digest=np.zeros(frames, np.int64),
        idle=np.zeros(entries, np.uint8),
        settings=np.ones(SETTINGS, np.int64),
        found=np.zeros(FIGURES, np.int64),
    )
