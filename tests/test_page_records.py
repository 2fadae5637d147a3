"""What a guest's own records say of its pages: found in memory, and read as Linux 6.1 writes them."""

from __future__ import annotations

import numpy as np

from benchmarks.page_records import ANONYMOUS, CACHE, FREE, OTHER, RECORDS, RESERVED, SLAB, classes_of

PAGES, AT = 4096, 2048
SIZE = PAGES * 64 // 4096
BASE = 0xFFFF_EA00_0000_0000


def memory() -> tuple[np.ndarray, np.ndarray]:
    """A guest's memory with an array of records at AT, and the class that each page should have."""
    random = np.random.default_rng(3)
    records, classes = np.zeros((PAGES, 8), dtype=np.uint64), np.full(PAGES, OTHER)
    records[:, 6] = 1 << 32 | 0xFFFF_FFFF
    kinds = {0: 800, SLAB: 200, CACHE: 500, ANONYMOUS: 300}
    start = 0
    for kind, count in kinds.items():
        some = slice(start, start + count)
        classes[some] = RESERVED if kind == 0 else kind
        records[some, 0] = {0: 1 << 12, SLAB: 1 << 9, CACHE: 1 << 4, ANONYMOUS: 1 << 4 | 1 << 19}[kind]
        records[some, 3] = BASE + (1 if kind == ANONYMOUS else 0)
        start += count
    records[1900, 6], records[1900, 5] = 0xF000_0000 | 0x0FFF_FF7F, 5  # a free block of 32 pages
    records[1901:1932, 6] = 1 << 32 | 0xFFFF_FFFF
    classes[1900:1932] = FREE
    records[1000 + 1, 1] = BASE + 64 * 1000 | 1  # the second page of a slab
    records[1001, 0] = 0
    records[AT : AT + SIZE, 0] = 1 << 12
    classes[AT : AT + SIZE] = RECORDS
    pages = random.integers(0, 255, (PAGES, 4096), dtype=np.uint8)
    pages[AT : AT + SIZE] = records.view(np.uint8).reshape(-1, 4096)
    return pages, classes


def test_classes_are_read_from_the_records() -> None:
    pages, classes = memory()
    found = classes_of(pages)
    assert found is not None
    assert np.flatnonzero(found != classes).tolist() == []


def test_memory_without_records() -> None:
    pages, _ = memory()
    pages[AT : AT + SIZE] = 0
    assert classes_of(pages) is None
