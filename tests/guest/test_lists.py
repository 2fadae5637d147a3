"""Linux's two lists of cached pages against plain ones made of ordered dictionaries."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest

from vmdedup.guest.linux.lists import TwoLists

FRAMES = 12
FILE_PAGES = 30
NONE = np.empty(0, dtype=np.int64)


class PlainLists:
    """active, inactive: page -> whether it was used there, the first to leave first. left: when it left."""

    def __init__(self) -> None:
        self.active: OrderedDict[int, bool] = OrderedDict()
        self.inactive: OrderedDict[int, bool] = OrderedDict()
        self.left: dict[int, int] = {}
        self.age = 0
        self.wanted_again = False

    def read(self, page: int) -> None:
        """A page that is cached is used."""
        if page in self.active:
            self.active[page] = True
        elif self.inactive[page]:
            del self.inactive[page]
            self.activate(page)
        else:
            self.inactive[page] = True

    def activate(self, page: int) -> None:
        self.active[page] = False
        self.age += 1

    def insert(self, pages: list[int], used: bool) -> None:
        active = len(self.active)
        soon = [page for page in pages if page in self.left and self.age - self.left[page] <= active]
        for page in pages:
            self.left.pop(page, None)
            self.inactive[page] = used
        for page in soon:
            del self.inactive[page]
            self.activate(page)
            self.wanted_again = True

    def evict(self, count: int) -> list[int]:
        active, inactive = len(self.active), len(self.inactive)
        given_back = count * active // max(1, inactive) if self.wanted_again else 0
        given_back = max(given_back, (active - inactive + count + 1) // 2, count - inactive, 0)
        self.wanted_again = False
        for _ in range(min(active, given_back)):
            page, used = self.active.popitem(last=False)
            self.inactive[page] = used
        gone: list[int] = []
        while self.inactive and len(gone) < count:
            page, _ = self.inactive.popitem(last=False)
            self.left[page] = self.age
            self.age += 1
            gone.append(page)
        return gone


@pytest.mark.parametrize("seed", range(20))
def test_the_same_pages_leave_in_the_same_order(seed: int) -> None:
    random = np.random.default_rng(seed)
    cache, plain, left = TwoLists(FRAMES, FILE_PAGES), PlainLists(), 0
    frames = dict.fromkeys(range(FRAMES), -1)
    for _ in range(300):
        wanted = np.minimum(random.geometric(0.12, 4) - 1, FILE_PAGES - 1)
        for page in dict.fromkeys(wanted.tolist()):
            if page in frames.values():
                cache.use(cache.lookup(np.array([page])))
                plain.read(page)
                continue
            if -1 not in frames.values():
                count = int(random.integers(1, 6))
                evicted = cache.evict(count, NONE).tolist()
                gone = [frames[frame] for frame in evicted]
                assert gone == plain.evict(count)
                frames |= dict.fromkeys(evicted, -1)
                left += len(gone)
            free = next(frame for frame, holds in frames.items() if holds == -1)
            used = bool(random.integers(2))
            cache.insert(np.array([page]), np.array([free]), used)
            plain.insert([page], used)
            frames[free] = page
        assert cache.size == len(plain.active) + len(plain.inactive)
    assert cache.evicted == left > 50


def test_a_page_that_was_read_twice_outlives_one_that_was_read_once() -> None:
    cache = TwoLists(4, 4)
    cache.insert(np.arange(4), np.arange(4))
    cache.use(np.array([0]))
    assert cache.evict(2, NONE).tolist() == [1, 2]


def test_a_page_that_is_wanted_again_soon_is_kept_longer() -> None:
    cache = TwoLists(4, 8)
    cache.insert(np.arange(4), np.arange(4))
    cache.use(np.arange(2))
    assert cache.evict(1, NONE).tolist() == [2]
    cache.insert(np.array([2]), np.array([2]))
    assert cache.evict(1, NONE).tolist() == [3]
    assert cache.evict(1, keep=np.array([2])).tolist() == [0]


def test_what_is_read_ahead_alone_leaves_first() -> None:
    cache = TwoLists(4, 4)
    cache.insert(np.arange(2), np.arange(2), used=False)
    cache.insert(np.arange(2, 4), np.arange(2, 4))
    cache.use(np.array([0, 2]))
    assert cache.evict(2, NONE).tolist() == [0, 1]
