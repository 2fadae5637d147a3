"""What the engine knows of pages, as kernels see it. All of it is lost with the process, and nothing breaks by that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.memory import Host
from vmdedup.jit.page import hash_page
from vmdedup.subpage.detector import BLOCK, HashSimilarityDetector

# States of pages, from the paper's section 4.2; 0: never seen, or nothing is there.
C1, C2, C3, C4 = 1, 2, 3, 4

# Words of settings.
PASS, INTERVALS, SHARING, PATCHING, COMPRESSION, ALL_C4, COMPRESS_FIRST, ZERO_PAGE, ZERO_HASH, BITS = range(10)
# What scan counts; ROWS: of todo that were written.
HASHED, ABSENT, LOOKUPS, COMPARED, SHARED_NOW, TAKEN, ZEROS, STALE, FULL, SIGNED, ROWS = range(11)
# Columns of todo: what is to be tried with a page that was found idle.
ENTRY, ACTION, CANDIDATES = range(3)
PATCH, COMPRESS = 1, 2

# Multipliers of signatures are drawn below this prime, modulo which signatures are computed.
PRIME: Final = (1 << 31) - 1
TABLE_SHARE: Final = 5  # the hash table has room for a fifth of memory: section 4.1


class Records(NamedTuple):
    """Arrays of the engine. `entries` is the length of the host's page table, `size` a power of two."""

    settings: NDArray[np.int64]
    table: NDArray[np.int64]  # (size, 2): hash, and an entry whose page had it in this pass; 0: free
    state: NDArray[np.uint8]  # (entries,): C1 to C4, as the last scan saw it
    tried: NDArray[np.uint8]  # (entries,): passes in a row in which the page could be shared and was not
    hash: NDArray[np.int64]  # (entries,): of the content, while SOFT is clear; 0: not known
    signatures: NDArray[np.int32]  # (entries, k): the same of signatures; [:, 0] -1: not known
    wait: NDArray[np.uint8]  # (entries,): passes until patching and compression are tried again
    similar: NDArray[np.int32]  # (k, 2 ** bits, c): entries that had a signature first; 0: none
    places: NDArray[np.int64]  # (k, s): where blocks begin, in words
    factors: NDArray[np.int64]  # (s, 17): multipliers
    found: NDArray[np.int64]  # what was counted in the last scan
    todo: NDArray[np.int64]  # (pages, 2 + k * c): entry, what to try, candidate entries


def make_records(host: Host, knobs: Mapping[str, int], seed: int) -> Records:
    """Empty records for a host."""
    k, s, c, bits = (knobs[f"detector_{name}"] for name in ("k", "s", "c", "bits"))
    detector = HashSimilarityDetector(k, s, c, seed=seed)
    random = np.random.Generator(np.random.PCG64(seed))
    frames, entries = len(host.arrays.frames), len(host.arrays.pte)
    # A table filled to two thirds is searched in a few steps.
    size = 1 << max(6, (3 * frames // (2 * TABLE_SHARE)).bit_length())
    return Records(
        settings=settings_of(host, knobs),
        table=np.zeros((size, 2), np.int64),
        state=np.zeros(entries, np.uint8),
        tried=np.zeros(entries, np.uint8),
        hash=np.zeros(entries, np.int64),
        signatures=np.full((entries, k), -1, np.int32),
        wait=np.zeros(entries, np.uint8),
        similar=np.zeros((k, 1 << bits, c), np.int32),
        places=np.ascontiguousarray(detector.offsets // 8),
        factors=random.integers(1, PRIME, (s, 2 * (BLOCK // 8) + 1)),
        found=np.zeros(ROWS + 1, np.int64),
        todo=np.zeros((knobs["portion"], CANDIDATES + k * c), np.int64),
    )


def forget_entries(records: Records, first: int, count: int) -> None:
    """Forget all that is known of pages whose guest has ended."""
    for known in (records.state, records.tried, records.wait, records.hash):
        known[first : first + count] = 0
    records.signatures[first : first + count] = -1


def settings_of(host: Host, knobs: Mapping[str, int]) -> NDArray[np.int64]:
    """The words of settings. Pages smaller than 4096 bytes, which only stand for contents, are shared at most."""
    settings = np.zeros(BITS + 1, np.int64)
    below_page = host.page_size == 4096
    settings[INTERVALS] = knobs["hash_intervals"]
    settings[SHARING] = knobs["sharing"]
    settings[PATCHING] = knobs["patching"] and below_page
    settings[COMPRESSION] = knobs["compression"] and below_page
    settings[ALL_C4] = knobs["everything_c4"]
    settings[COMPRESS_FIRST] = knobs["compress_before_patch"]
    settings[ZERO_PAGE] = knobs["zero_page"]
    settings[ZERO_HASH] = hash_page(host.arrays.words, 0)
    settings[BITS] = knobs["detector_bits"]
    return settings
