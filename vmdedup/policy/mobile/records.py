"""What a mobile policy knows of pages, as kernels see it. Lost with its process; nothing breaks by that."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.memory import Host
from vmdedup.jit.page import hash_page

WAYS: Final = 8  # places of one set of the hash table
PORTION: Final = 2048  # pages visited at a time, at most

# Words of settings.
ROUND, CHANCES, REST, ZERO_HASH, SETTINGS = range(5)
# What is counted.
VISITED, ABSENT, HASHED, LOOKUPS, COMPARED, SHARED_NOW, TAKEN, ZEROS, SKIPPED, WRITTEN, SPARED, FIGURES = range(12)
# Columns of table.
TAG, ENTRY, STAMP = range(3)


class Records(NamedTuple):
    """entries: the length of the host's page table. sets: a power of two."""

    settings: NDArray[np.int64]
    table: NDArray[np.int64]  # (sets * WAYS, 3): hash with group, an entry whose page had it, round of that
    hash: NDArray[np.int64]  # (entries,): of the content when it was last hashed; 0: not known
    misses: NDArray[np.uint8]  # (entries,): visits in a row that came to nothing
    found: NDArray[np.int64]  # (FIGURES,): what the last visits did
    todo: NDArray[np.int64]  # (PORTION,): entries that settled and found no equal


def make_records(host: Host) -> Records:
    """Empty records for a host."""
    entries = len(host.arrays.pte)
    sets = 1 << max(4, (2 * entries // WAYS).bit_length())
    settings = np.zeros(SETTINGS, np.int64)
    settings[ZERO_HASH] = hash_page(host.arrays.words, 0)
    return Records(
        settings=settings,
        table=np.zeros((sets * WAYS, 3), np.int64),
        hash=np.zeros(entries, np.int64),
        misses=np.zeros(entries, np.uint8),
        found=np.zeros(FIGURES, np.int64),
        todo=np.zeros(PORTION, np.int64),
    )


def forget_pages(records: Records, first: int, pages: int) -> None:
    """Forget pages whose address space has ended."""
    records.hash[first : first + pages] = 0
    records.misses[first : first + pages] = 0
