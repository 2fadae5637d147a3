"""Policies for phones: known answers, each rule, and guests that store meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kit.making import maker_of
from vmdedup.host.layout import (
    ANONYMOUS,
    BACKGROUND,
    COMPRESSED,
    FILES,
    FILLED,
    FOREGROUND,
    GRAPHICS,
    PATCHED,
    PRESENT,
    UNKNOWN,
)
from vmdedup.host.memory import Host
from vmdedup.host.space import Memory
from vmdedup.policy.base import Policy
from vmdedup.policy.mobile.areas import NOBODY, areas_of
from vmdedup.policy.table import load_policy

SIZE = 32  # pages of an app
SHARING = ("exclusion", "n_chance", "group_limited", "similar_page", "background")
ALL = (*SHARING, "zram")


class SmallPhone:
    """An address space of a zygote of SIZE pages, two apps and files; `random` makes their contents."""

    def __init__(self, name: str) -> None:
        self.host = Host.create(4 * SIZE, mms=2)
        self.memory: Memory = self.host.add(4 * SIZE, "phone")
        self.random = np.random.default_rng(3)
        self.policy: Policy = load_policy(name)(self.host, 1)
        self.memory.declare(0, 0, SIZE, ANONYMOUS, 0, UNKNOWN)
        self.app(1, BACKGROUND)
        self.app(2, BACKGROUND)
        self.memory.declare(3, 3 * SIZE, SIZE, FILES, 0, UNKNOWN)
        self.policy.enter(self.memory.mm)

    def app(self, number: int, state: int, kind: int = ANONYMOUS) -> None:
        """Say what an app's pages are."""
        self.memory.declare(number, number * SIZE, SIZE, kind, number, state)

    def noise(self, count: int) -> np.ndarray:
        return self.random.integers(0, 256, (count, 4096), dtype=np.uint8)

    def put(self, first: int, rows: np.ndarray) -> None:
        self.memory.write_pages(np.arange(first, first + len(rows)), rows)

    def work(self, batches: int = 40, pages: int = 4 * SIZE, ms: int = 100) -> None:
        for _ in range(batches):
            self.policy.charge(self.policy.now_ms + ms, 0)
            self.policy.scan(pages)
        self.policy.check()

    def kinds(self) -> np.ndarray:
        kinds: np.ndarray = self.host.kinds()[self.memory.mm]
        return kinds

    def done(self, operation: str) -> int:
        return self.policy.work.done[operation]

    def close(self) -> None:
        self.host.close()


Make = Callable[[str], SmallPhone]


make = maker_of(SmallPhone)


# What all of them do


@pytest.mark.parametrize("name", SHARING)
def test_what_is_planted_is_found(make: Make, name: str) -> None:
    phone = make(name)
    common = phone.noise(4)
    phone.put(SIZE, np.concatenate((common, np.zeros((3, 4096), np.uint8), phone.noise(5))))
    phone.put(2 * SIZE, np.concatenate((common, common[:2], phone.noise(6))))
    phone.work()
    counters = phone.policy.counters()
    assert counters["pages_shared"] == 4
    assert counters["pages_sharing"] == 6
    assert counters["ksm_zero_pages"] == 3
    assert phone.host.frames_in_use() == 4 + 5 + 6


@pytest.mark.parametrize("name", ["n_chance", "group_limited"])
def test_a_page_is_read_again_only_after_a_store(make: Make, name: str) -> None:
    """It counts as hashed all the same; a byte that makes it equal to another is noticed."""
    phone = make(name)
    rows = phone.noise(4)
    phone.put(SIZE, rows)
    phone.work(3)
    before = phone.policy.counters()
    assert (before["pages_hashed"], before["hashes_spared"]) == (12, 8)
    rows[1] = rows[0]
    rows[1, 99] ^= 1
    phone.put(SIZE + 1, rows[1:2])
    phone.work(1)
    phone.memory.write(SIZE + 1, bytes(rows[0, 99:100]), 99)
    phone.work(20)
    assert phone.policy.counters()["pages_sharing"] == 1


@pytest.mark.parametrize("name", ALL)
def test_contents_stay_while_the_phone_stores(make: Make, name: str) -> None:
    phone = make(name)
    known = np.zeros((4 * SIZE, 4096), np.uint8)
    bases = phone.noise(4) % 16
    for number in range(12):
        which = phone.random.choice(4 * SIZE, 24, replace=False)
        rows = bases[phone.random.integers(0, 4, 24)]
        rows[np.arange(24), phone.random.integers(0, 3, 24)] ^= 1
        known[which] = rows
        phone.memory.write_pages(which, rows)
        phone.app(1 + number % 2, FOREGROUND if number % 4 < 2 else BACKGROUND)
        phone.work(7)
        some = phone.random.choice(4 * SIZE, 8, replace=False)
        np.testing.assert_array_equal(phone.memory.read_pages(some), known[some])
    phone.work()
    np.testing.assert_array_equal(phone.memory.read_pages(np.arange(4 * SIZE)), known)
    phone.host.check()


def test_who_says_nothing_is_one_area_of_nobody() -> None:
    host = Host.create(8, mms=2)
    memory = host.add(8)
    (area,) = areas_of(host, [memory.mm])
    assert (area.pages, area.kind, area.state, area.owner) == (8, ANONYMOUS, UNKNOWN, NOBODY)
    memory.declare(5, 2, 6, GRAPHICS, 3, FOREGROUND)
    memory.declare(6, 4, 100, GRAPHICS, 3, FOREGROUND)  # beyond its memory: not believed
    memory.declare(5, 2, 6, GRAPHICS, 3, BACKGROUND)
    (area,) = areas_of(host, [memory.mm])
    assert (area.first - int(host.arrays.mms[memory.mm]["first"]), area.pages, area.turns) == (2, 6, 2)
    memory.exit()
    host.release(memory.mm)
    assert [area.owner for area in areas_of(host, [host.add(8).mm])] == [NOBODY]
    host.close()


@pytest.mark.parametrize("name", ALL)
def test_pages_that_stand_for_contents_are_shared_at_most(name: str) -> None:
    host = Host.create(64, mms=2, page_size=8)
    memory = host.add(64)
    memory.write_pages(np.arange(64), np.repeat(np.arange(1, 33), 2).reshape(64, 1).view(np.uint8))
    policy = load_policy(name)(host, 1)
    policy.enter(memory.mm)
    for _ in range(30):
        policy.charge(policy.now_ms + 100, 0)
        policy.scan(64)
    policy.check()
    assert host.frames_in_use() == (64 if name == "zram" else 32)
    assert host.kinds().sum() == 0
    host.close()


# Exclusion


def test_exclusion_in_space(make: Make) -> None:
    phone = make("exclusion")
    common = phone.noise(8)
    phone.put(SIZE, common)
    phone.put(2 * SIZE, common)
    phone.put(3 * SIZE, common)
    phone.app(2, BACKGROUND, GRAPHICS)
    phone.work()
    assert phone.policy.counters()["pages_sharing"] == 0
    phone.policy.set("exclude_files", "0")
    phone.work()
    assert phone.policy.counters()["pages_sharing"] == 8
    phone.policy.set("exclude_graphics", "0")
    phone.work()
    assert phone.policy.counters()["pages_sharing"] == 16


def test_exclusion_in_time(make: Make) -> None:
    phone = make("exclusion")
    common = phone.noise(8)
    phone.put(SIZE, common)
    phone.put(2 * SIZE, common)
    phone.app(2, FOREGROUND)
    phone.work()
    assert phone.policy.counters()["pages_sharing"] == 0
    phone.app(2, BACKGROUND)
    phone.work(9)
    assert phone.policy.counters()["pages_sharing"] == 0
    phone.work(9)
    assert phone.policy.counters()["pages_sharing"] == 8


# N-chance


def test_a_page_without_success_is_skipped_and_has_chances_again(make: Make) -> None:
    phone = make("n_chance")
    phone.put(0, phone.noise(4 * SIZE))
    hashed = []
    for _ in range(14):
        before = phone.policy.counters()["pages_hashed"]
        phone.work(1)
        hashed.append(phone.policy.counters()["pages_hashed"] - before)
    pages = 4 * SIZE
    assert hashed == [pages] * 3 + [0] * 8 + [pages] * 3
    assert phone.policy.counters()["pages_skipped"] == 8 * pages
    assert phone.done("visit") == 14 * pages


# Groups


@pytest.mark.parametrize(("by", "found"), [("0", 4), ("1", 0)])
def test_groups_keep_to_themselves(make: Make, by: str, found: int) -> None:
    phone = make("group_limited")
    phone.policy.set("group_by", by)
    common = phone.noise(4)
    for first in (SIZE, 2 * SIZE, 3 * SIZE):
        phone.put(first, common)
    phone.work()
    assert phone.policy.counters()["pages_sharing"] == found  # heaps of two apps; files are of another kind


# Similar pages


def test_a_similar_page_becomes_a_difference_and_comes_back(make: Make) -> None:
    phone = make("similar_page")
    base = phone.noise(1)
    like = np.repeat(base, 6, axis=0)
    like[np.arange(6), np.arange(6)] ^= 255
    phone.put(SIZE, np.concatenate((base, like, phone.noise(5))))
    phone.work()
    assert phone.kinds()[PATCHED] == 6
    counters = phone.policy.counters()
    assert counters["storage_frames"] == 1
    assert counters["patch_bytes"] < 6 * 128
    np.testing.assert_array_equal(phone.memory.read_pages(np.arange(SIZE + 1, SIZE + 7)), like)
    assert phone.memory.counter("unpatched") == 6


def test_files_are_not_kept_as_differences(make: Make) -> None:
    for name in ("similar_page", "background", "zram"):
        phone = make(name)
        like = np.repeat(np.full((1, 4096), 7, np.uint8), 6, axis=0)
        like[np.arange(6), np.arange(6)] ^= 255
        phone.put(3 * SIZE, like)
        phone.work()
        assert phone.kinds().sum() == 0


# Compressed swap


def test_idle_pages_are_compressed_or_one_word(make: Make) -> None:
    phone = make("zram")
    text = phone.random.integers(97, 101, (6, 4096)).astype(np.uint8)
    phone.put(SIZE, np.concatenate((text, np.full((2, 4096), 0x55, np.uint8), phone.noise(4))))
    phone.work(15)
    assert phone.kinds().sum() == 0
    phone.work(15)
    assert (phone.kinds()[COMPRESSED], phone.kinds()[FILLED]) == (6, 2)
    counters = phone.policy.counters()
    assert counters["total_incompressible"] == 4  # each tried once
    assert counters["pages_shared"] == 0
    assert phone.host.frames_in_use() == 4 + counters["storage_frames"]


def test_a_page_in_use_is_not_compressed(make: Make) -> None:
    phone = make("zram")
    phone.put(SIZE, phone.random.integers(97, 101, (6, 4096)).astype(np.uint8))
    for _ in range(40):
        phone.memory.touch(np.array([SIZE, SIZE + 1]))
        phone.work(1)
    assert phone.kinds()[COMPRESSED] == 4


# Background


def test_a_page_is_hashed_once_in_its_life(make: Make) -> None:
    phone = make("background")
    phone.put(0, phone.noise(4 * SIZE))
    phone.work(300)
    assert phone.policy.counters()["pages_hashed"] == 4 * SIZE
    visits = phone.done("visit")
    assert visits < 6 * 4 * SIZE
    phone.memory.write(SIZE, b"new")
    phone.app(1, FOREGROUND)
    phone.work(60)
    assert phone.policy.counters()["pages_hashed"] == 4 * SIZE + 1


def test_work_starts_when_an_app_turns(make: Make) -> None:
    phone = make("background")
    phone.work(100)
    phone.put(SIZE, np.repeat(phone.noise(4), 2, axis=0))
    phone.work(2)
    assert phone.policy.counters()["pages_sharing"] == 0
    phone.app(1, FOREGROUND)
    phone.app(1, BACKGROUND)
    phone.work(12)
    assert phone.policy.counters()["pages_sharing"] == 4


def test_only_what_is_inherited_is_a_base(make: Make) -> None:
    phone = make("background")
    zygote, other = phone.noise(4), phone.noise(1)
    like, alone = np.repeat(zygote, 2, axis=0), np.repeat(other, 4, axis=0)
    like[np.arange(8), np.arange(8)] ^= 255
    alone[np.arange(4), np.arange(4)] ^= 255
    phone.put(0, zygote)
    phone.put(SIZE, like)
    phone.put(2 * SIZE, alone)
    phone.work()
    assert phone.kinds()[PATCHED] == 8
    assert (phone.done("word_patch"), phone.done("patch")) == (8, 0)  # none in vain
    entries = phone.memory.entries[2 * SIZE : 2 * SIZE + 4]
    assert (entries & PRESENT).all()


def test_an_app_in_use_is_shared_at_once_and_packed_late(make: Make) -> None:
    phone = make("background")
    common = phone.noise(2)
    text = phone.random.integers(97, 101, (6, 4096)).astype(np.uint8)
    phone.put(SIZE, np.concatenate((common, text)))
    phone.put(2 * SIZE, np.concatenate((common, text[::-1] ^ 1)))
    phone.app(1, FOREGROUND)
    phone.work(13)
    assert phone.policy.counters()["pages_sharing"] == 2
    assert phone.kinds()[COMPRESSED] == 6  # those of the other app


def test_a_slow_scanner_gets_to_apps_before_files(make: Make) -> None:
    phone = make("background")
    common, files = phone.noise(4), phone.noise(4)
    for first in (SIZE, 2 * SIZE):
        phone.put(first, common)
    phone.put(3 * SIZE, np.repeat(files, 2, axis=0))
    phone.work(60, pages=2)
    assert phone.policy.counters()["pages_sharing"] == 4
    phone.work(200, pages=2)
    assert phone.policy.counters()["pages_sharing"] == 8


@pytest.mark.parametrize(("late", "packed"), [("1", 6), ("100000", 0)])
def test_an_app_that_waited_gets_both_passes_in_one(make: Make, late: str, packed: int) -> None:
    phone = make("background")
    phone.policy.set("late_millisecs", late)
    zygote = phone.noise(6)
    like = zygote.copy()
    like[:, 9] ^= 1
    phone.put(0, zygote)
    phone.work(3, ms=1000)
    phone.put(SIZE, like)
    phone.app(1, FOREGROUND)
    phone.app(1, BACKGROUND)
    phone.work(1, pages=0)
    phone.work(1, ms=2000)
    assert phone.kinds()[PATCHED] == packed
