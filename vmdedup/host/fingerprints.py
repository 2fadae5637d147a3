"""Pages that stand for contents: eight bytes a page, the fingerprint of its 4096.

                    fingerprint
    zeros           0
    other bytes     XXH64 of them, less that of zeros (exclusive or)
    a part stored   the fingerprint before, turned by a bit, exclusive or a hash of what was stored and where

So equal contents have equal fingerprints if they came about in the same way: whole, or from equal contents by equal
stores in equal order. What bytes make equal in another way (the same stores in another order, a store of what was
there) differs here; what bytes tell apart is never taken for equal, but by chance, one time in 2**64.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import HostError
from vmdedup.host import access
from vmdedup.host.space import Memory
from vmdedup.jit.page import hash_rows
from vmdedup.mixing import MIX_1, STEP
from vmdedup.units import PAGE_SIZE

FINGERPRINT: Final = 8  # bytes
_STEP: Final = np.uint64(STEP)
_MIX: Final = np.uint64(MIX_1)

Rows = NDArray[np.uint8]  # (n, FINGERPRINT)


def fingerprints(pages: NDArray[np.uint8]) -> Rows:
    """The fingerprint of each page. pages: (n, 4096) bytes. Returns (n, 8) bytes."""
    hashes = _hashes(np.ascontiguousarray(pages))
    return (hashes ^ _zero()).view(np.uint8).reshape(-1, FINGERPRINT)


def _zero() -> np.int64:
    if not _known:
        _known.append(_hashes(np.zeros((1, PAGE_SIZE), np.uint8))[0])
    return _known[0]


_known: list[np.int64] = []


def _hashes(rows: NDArray[np.uint8]) -> NDArray[np.int64]:
    """XXH64 of each row, (n, a multiple of 8) bytes."""
    hashes = np.empty(len(rows), np.int64)
    if len(rows):
        hash_rows(rows.view(np.int64), hashes)
    return hashes


def changes(places: NDArray[np.int64], data: NDArray[np.uint8]) -> NDArray[np.int64]:
    """A hash of what is stored, and where, for each of n stores. places: (n,); data: (n, length) bytes."""
    length = data.shape[1]
    padded = np.zeros((len(data), -(-max(1, length) // 8) * 8), np.uint8)
    padded[:, :length] = data
    where = (places.astype(np.uint64) * _STEP + np.uint64(length)) * _MIX
    return _hashes(padded) ^ where.view(np.int64)


def altered(rows: Rows, made: NDArray[np.int64]) -> Rows:
    """What fingerprints are after stores, of which made, (n,), are the hashes: as host.access.alter_pages has it."""
    words = rows.view(np.uint64).reshape(-1)
    turned = (words << np.uint64(1)) | (words >> np.uint64(63))
    return (turned ^ made.view(np.uint64)).view(np.uint8).reshape(-1, FINGERPRINT)


class FingerprintMemory(Memory):
    """One guest's memory, of pages that stand for contents. Contents are given whole, (n, 4096) bytes, or as
    fingerprints, (n, 8) bytes; what is read is fingerprints.
    """

    has_fingerprints = True

    def write_pages(self, pages: NDArray[np.int64], data: NDArray[Any]) -> None:
        """Store whole pages, or their fingerprints."""
        rows = np.ascontiguousarray(data).view(np.uint8).reshape(len(data), -1)
        super().write_pages(pages, fingerprints(rows) if len(rows) and rows.shape[1] == self.page_size else rows)

    def write_bytes(self, pages: NDArray[np.int64], places: NDArray[np.int64], data: NDArray[np.uint8]) -> None:
        """Store a run of bytes into each of n pages: places (n,) is the first byte, data (n, length)."""
        numbers, places = self._numbers(pages), np.ascontiguousarray(places, np.int64)
        runs = np.ascontiguousarray(data, np.uint8)
        if not access.are_below(places, self.page_size + 1 - runs.shape[1]):
            raise HostError(f"a store of {runs.shape[1]} bytes does not fit into a page of {self.page_size}")
        made = changes(places, runs)
        self._all(numbers, lambda k: access.alter_pages(self._h, self.mm, numbers[k:], made[k:]))
