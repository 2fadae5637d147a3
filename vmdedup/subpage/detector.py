"""Difference Engine's similarity detector: pages that agree in a few small blocks are taken to be alike.

HashSimilarityDetector(k, s), c: k*s blocks of 64 bytes, at places chosen once for all pages, are hashed in k groups of
s; each group makes one signature; for each signature, c pages are remembered that had it first. A page is compared
with those that share any signature with it. Source: Gupta et al., Difference Engine, OSDI 2008, section 3.1.2.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

BLOCK = 64  # bytes
WORDS = BLOCK // 8
Signatures = NDArray[np.uint64]


class HashSimilarityDetector:
    """k signatures of s blocks each; c candidates for each. bits: of a signature (the paper: 18). seed: of the places.

    offsets: where in a page the blocks begin, (k, s), in bytes.
    """

    def __init__(
        self, k: int = 2, s: int = 1, c: int = 1, page_size: int = 4096, bits: int = 18, seed: int = 0
    ) -> None:
        self.k, self.s, self.c, self.bits, self.seed = k, s, c, bits, seed
        self.offsets = _offsets(k * s, page_size, seed).reshape(k, s)
        self._factors = _words(f"factors {seed}", s * WORDS).reshape(s, WORDS) | np.uint64(1)
        self._tables: list[dict[int, list[int]]] = [{} for _ in range(k)]

    def signatures(self, pages: NDArray[np.uint8]) -> Signatures:
        """Signatures (n, k) of pages (n, page_size)."""
        found = np.empty((len(pages), self.k), np.uint64)
        for group, offsets in enumerate(self.offsets):
            mixed = np.zeros(len(pages), np.uint64)
            for offset, factors in zip(offsets, self._factors, strict=True):
                block = np.ascontiguousarray(pages[:, offset : offset + BLOCK]).view(np.uint64)
                for word in range(WORDS):
                    mixed = _mix(mixed ^ block[:, word]) * factors[word]
            found[:, group] = _mix(mixed) >> np.uint64(64 - self.bits)
        return found

    def candidates(self, signatures: Signatures) -> list[int]:
        """Numbers of remembered pages that share a signature (k,), each once, oldest first."""
        found: dict[int, None] = {}
        for table, signature in zip(self._tables, signatures.tolist(), strict=True):
            found.update(dict.fromkeys(table.get(signature, ())))
        return list(found)

    def remember(self, page: int, signatures: Signatures) -> bool:
        """Make a page a candidate where there is room. Returns whether it is one now."""
        is_candidate = False
        for table, signature in zip(self._tables, signatures.tolist(), strict=True):
            pages = table.setdefault(signature, [])
            if len(pages) < self.c and page not in pages:
                pages.append(page)
                is_candidate = True
        return is_candidate

    def forget(self) -> None:
        """Drop all candidates. Difference Engine does so after each full cycle of its clock."""
        for table in self._tables:
            table.clear()


def _mix(words: Signatures) -> Signatures:
    """Words whose every bit depends on all bits. Source: Stafford, Better bit mixing, Mix13."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _offsets(count: int, page_size: int, seed: int) -> NDArray[np.int64]:
    """Places of blocks that do not overlap, drawn from all multiples of a block's size."""
    slots = page_size // BLOCK
    order = np.argsort(_words(f"offsets {seed}", slots), kind="stable")
    return np.asarray(order[np.arange(count) % slots] * BLOCK, np.int64)


def _words(purpose: str, count: int) -> NDArray[np.uint64]:
    """Words that depend on the purpose alone, whatever the machine and the version of NumPy."""
    drawn = hashlib.shake_128(f"vmdedup {purpose}".encode()).digest(8 * count)
    return np.frombuffer(drawn, "<u8").astype(np.uint64)
