"""In which form contents go into a guest's memory: as bytes, or as fingerprints made without making the bytes.

                     bytes (n, 4096)        fingerprints (n, 8)
    heap             content.heap_pages     of the key and of all that the bytes are made from
    disk             the file's bytes       XXH64 of them, remembered by disk page, for all guests of a process
    whole pages      as they are            XXH64 of them

Fingerprints of heaps are equal where the bytes are, and 0 for zeros; they are no hash of the bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from vmdedup.guest.content import Pages, heap_pages, heap_seeds, rolled
from vmdedup.guest.seeds import Words, mix, scatter, split_seed
from vmdedup.guest.variant import VariantDisk
from vmdedup.host.fingerprints import fingerprints

if TYPE_CHECKING:
    from vmdedup.guest.disk import Disk
    from vmdedup.guest.index import Numbers
    from vmdedup.guest.memory import Memory
    from vmdedup.guest.mixes import HeapMix

Rows = NDArray[np.uint8]  # (n, 4096), or (n, 8)
_DISKS: Final = 16  # whose pages' fingerprints are remembered, in one process


class Form(Protocol):
    """How contents are made."""

    def heap(self, page_keys: Words, heap: HeapMix, shift: int = 0) -> Rows:
        """Pages of content.heap_pages, turned by shift bytes. page_keys: (n,)."""

    def disk(self, disk: Disk, pages: Numbers) -> Rows:
        """Pages of a disk, in any order."""

    def of(self, pages: Pages) -> Rows:
        """Whole pages, (n, 4096) bytes; what has its form already stays as it is."""

    def turned(self, rows: Rows, shift: int) -> Rows:
        """The same contents, turned by shift bytes."""


class _Bytes:
    """Fills Form."""

    def heap(self, page_keys: Words, heap: HeapMix, shift: int = 0) -> Rows:
        return rolled(heap_pages(page_keys, heap), shift)

    def disk(self, disk: Disk, pages: Numbers) -> Rows:
        return disk.read(pages)

    def of(self, pages: Pages) -> Rows:
        return pages

    def turned(self, rows: Rows, shift: int) -> Rows:
        return rolled(rows, shift)


class _Fingerprints:
    """Fills Form."""

    def __init__(self) -> None:
        self._seen: OrderedDict[object, tuple[Words, NDArray[np.bool_]]] = OrderedDict()

    def heap(self, page_keys: Words, heap: HeapMix, shift: int = 0) -> Rows:
        seeds, is_zero = heap_seeds(page_keys, heap)
        words = scatter(seeds ^ np.uint64(_seed_of(heap, shift)))
        words[is_zero] = 0
        return _rows(words)

    def disk(self, disk: Disk, pages: Numbers) -> Rows:
        words, known = self._of_disk(disk)
        missing = np.unique(pages[~known[pages]])
        if len(missing):
            words[missing] = fingerprints(disk.read(missing)).view(np.uint64).reshape(-1)
            known[missing] = True
        return _rows(words[pages])

    def of(self, pages: Pages) -> Rows:
        return pages if pages.shape[1] == 8 else fingerprints(pages)

    def turned(self, rows: Rows, shift: int) -> Rows:
        words = rows.view(np.uint64).reshape(-1)
        return _rows(np.where(words == 0, words, mix(words ^ np.uint64(shift)))) if shift else rows

    def _of_disk(self, disk: Disk) -> tuple[Words, NDArray[np.bool_]]:
        """Fingerprints of a disk's pages, and which of them are known. Of the disks used last."""
        key = (disk.identity, disk.index.pages, disk.variant if isinstance(disk, VariantDisk) else None)
        if key not in self._seen:
            self._seen[key] = np.zeros(disk.index.pages, np.uint64), np.zeros(disk.index.pages, np.bool_)
            if len(self._seen) > _DISKS:
                self._seen.popitem(last=False)
        self._seen.move_to_end(key)
        return self._seen[key]


def _rows(words: Words) -> Rows:
    return np.ascontiguousarray(words).view(np.uint8).reshape(-1, 8)


@lru_cache(maxsize=1024)
def _seed_of(heap: HeapMix, shift: int) -> int:
    return split_seed(0, "heap", repr(heap), shift)


BYTES: Final[Form] = _Bytes()
FINGERPRINTS: Final[Form] = _Fingerprints()


def form_of(memory: Memory) -> Form:
    """The form of contents that a memory takes."""
    return FINGERPRINTS if memory.has_fingerprints else BYTES
