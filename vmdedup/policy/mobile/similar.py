"""Candidates for differences: pages that agree in a block of 64 bytes with one seen before."""

from __future__ import annotations

import numpy as np

from vmdedup.host.memory import Host
from vmdedup.policy.sharing import frame_of
from vmdedup.policy.work import Work
from vmdedup.subpage.detector import BLOCK, HashSimilarityDetector, Signatures


class Bases:
    """Pages that others may be kept as differences to; the first of each signature. Difference Engine's detector."""

    def __init__(self, host: Host, work: Work, seed: int, blocks: int = 2) -> None:
        self._h = host.arrays
        self._work = work
        self._detector = HashSimilarityDetector(blocks, 1, 1, seed=seed)

    def sign(self, entries: list[int]) -> Signatures:
        """Signatures (n, blocks) of the pages of entries, zeros for those that are not to be had now."""
        frames = np.array([int(frame_of(self._h, entry)) for entry in entries], np.int64)
        self._work.count("hash_byte", self._detector.k * BLOCK * len(entries))
        return self._detector.signatures(self._h.bytes[frames])

    def candidates(self, signature: Signatures) -> list[int]:
        """Entries of pages that share a signature."""
        return self._detector.candidates(signature)

    def offer(self, entry: int, signature: Signatures) -> None:
        """Make a page a base where there is none yet."""
        self._detector.remember(entry, signature)

    def forget(self) -> None:
        """Drop all bases."""
        self._detector.forget()
