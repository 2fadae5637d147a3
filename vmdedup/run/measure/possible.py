"""What exact sharing would save: every content kept once, found by hashing."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

# XXH64, seed 0, of 4096 zero bytes; its low half is mm/ksm.c's zero_checksum.
ZERO_HASH: Final = 0xAC86_9B6F_32D8_BBDB
ZERO_WORD: Final = np.uint64(ZERO_HASH).astype(np.int64)  # the same as a signed word


def possible_pages(hashes: NDArray[np.int64], allocated: int, zero_placed: int, zeros_are_free: bool) -> int:
    """Pages that would be saved if each content were kept once.

    hashes: XXH64 of each frame in use, in any order. allocated, zero_placed: pages with content, and those of
    them that KSM made zero pages of. zeros_are_free: all-zero content costs no frame (use_zero_pages), else
    one. Contents whose hashes collide count as one, which among 2**20 contents happens one time in 10**7.
    """
    contents = np.unique(hashes)
    others = len(contents) - int(np.any(contents == ZERO_WORD))
    zeros = int(zero_placed > 0 or others < len(contents))
    return allocated - others - (0 if zeros_are_free else zeros)
