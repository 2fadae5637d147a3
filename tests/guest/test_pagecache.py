"""The page cache against a plain one made of an ordered dictionary."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest

from vmdedup.guest.pagecache import PageCache

FRAMES = 8
FILE_PAGES = 12
NONE = np.empty(0, dtype=np.int64)


class PlainCache:
    """Least recently used first; mapped pages after all others."""

    def __init__(self) -> None:
        self.frames: OrderedDict[int, int] = OrderedDict()
        self.mapped: dict[int, int] = {}

    def use(self, page: int) -> None:
        self.frames.move_to_end(page)

    def evict(self, count: int) -> list[int]:
        order = sorted(self.frames, key=lambda page: self.mapped.get(page, 0) > 0)[:count]
        for page in order:
            self.mapped.pop(page, None)
        return [self.frames.pop(page) for page in order]


@pytest.mark.parametrize("seed", range(20))
def test_the_same_pages_leave_in_the_same_order(seed: int) -> None:
    random = np.random.default_rng(seed)
    cache, plain = PageCache(FRAMES, FILE_PAGES), PlainCache()
    free = list(range(FRAMES))
    for name in random.choice(["read", "map", "unmap", "evict"], 200, p=[0.45, 0.2, 0.2, 0.15]):
        if name == "evict":
            count = int(random.integers(4))
            left = cache.evict(count, NONE).tolist()
            assert left == plain.evict(count)
            free += left
            continue
        wanted = random.permutation(FILE_PAGES)[: random.integers(1, 6)].tolist()
        if name == "read":
            free = read(cache, plain, free, wanted)
        else:
            change_mapping(cache, plain, name, wanted)
        check(cache, plain)


def read(cache: PageCache, plain: PlainCache, free: list[int], wanted: list[int]) -> list[int]:
    """Use the pages that are cached; insert the others, evicting as many as need be."""
    present = [page for page in wanted if page in plain.frames]
    missing = [page for page in wanted if page not in plain.frames]
    cache.use(cache.lookup(np.array(present, dtype=np.int64)))
    for page in present:
        plain.use(page)
    if len(free) < len(missing):
        left = cache.evict(len(missing), NONE).tolist()
        assert left == plain.evict(len(missing))
        free = free + left
    frames = [free.pop() for _ in missing]
    cache.insert(np.array(missing, dtype=np.int64), np.array(frames, dtype=np.int64))
    plain.frames.update(zip(missing, frames, strict=True))
    return free


def change_mapping(cache: PageCache, plain: PlainCache, name: str, wanted: list[int]) -> None:
    cached = np.array([page for page in wanted if page in plain.frames], dtype=np.int64)
    if name == "map":
        cache.map(cache.lookup(cached))
        for page in cached.tolist():
            plain.mapped[page] = plain.mapped.get(page, 0) + 1
    else:
        cache.unmap(np.array(wanted, dtype=np.int64))
        for page in cached.tolist():
            plain.mapped[page] = max(0, plain.mapped.get(page, 0) - 1)


def check(cache: PageCache, plain: PlainCache) -> None:
    every = np.arange(FILE_PAGES)
    assert cache.lookup(every).tolist() == [plain.frames.get(page, -1) for page in range(FILE_PAGES)]
    assert cache.size == len(plain.frames)
    pages, frames = cache.contents()
    assert dict(zip(pages.tolist(), frames.tolist(), strict=True)) == dict(plain.frames)


def test_what_is_to_be_kept_is_kept() -> None:
    cache = PageCache(10, 10)
    cache.insert(np.arange(10), np.arange(10))
    assert cache.evict(4, keep=np.array([0, 2])).tolist() == [1, 3, 4, 5]
    assert cache.evict(99, keep=np.array([0, 2])).tolist() == [6, 7, 8, 9]
    assert cache.evicted == 8
