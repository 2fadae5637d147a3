"""UKSM: known answers, and each rule of its ladder and of its two levels of hashes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kit.making import maker_of
from kit.storers import race
from vmdedup.errors import InvariantError
from vmdedup.host.memory import Host
from vmdedup.host.space import Memory
from vmdedup.policy.uksm.ladder import scan_batch
from vmdedup.policy.uksm.layout import LINKED, WORDS
from vmdedup.policy.uksm.policy import Uksm
from vmdedup.policy.uksm.strength import Strength

SLOT = 64  # pages


class UksmHost:
    """A host with the policy and slots of 64 pages, and guests whose pages hold one number each, or given rows."""

    def __init__(self, pages: int = 512, seed: int = 1) -> None:
        self.host = Host.create(pages, mms=8)
        self.policy = Uksm(self.host, seed)
        self.policy.set("slot_kib", "256")
        self.tables = self.policy._tables

    def guest(self, *contents: int) -> Memory:
        rows = np.repeat(np.array(contents)[:, np.newaxis], 512, axis=1)
        return self.guest_of(rows)

    def guest_of(self, rows: np.ndarray) -> Memory:
        """A guest with these pages, int64[n, 512]."""
        memory = self.host.add(len(rows), "g")
        memory.write_pages(np.arange(len(rows)), rows.astype(np.int64).view(np.uint8))
        self.policy.enter(memory.mm)
        return memory

    def sample(self, pages: int, rung: int = 0, wanted: int = 10**6) -> int:
        """Only this rung, so many pages; wanted: samples of a round."""
        self.tables.rungs["wanted"] = wanted
        quotas = np.zeros(4, np.int64)
        quotas[rung] = pages
        scanned = int(scan_batch(self.host.arrays, self.tables, quotas))
        self.policy.check()
        return scanned

    def settle(self) -> None:
        """Until all has been gone through twice."""
        end = self.get("full_scans") + 2
        while self.get("full_scans") < end:
            self.policy.scan(97)
        self.policy.check()

    def rungs(self, memory: Memory) -> list[int]:
        """Where a guest's slots are."""
        return [int(self.tables.slots[slot]["rung"]) for slot in self.policy._slots[memory.mm]]

    def get(self, name: str) -> int:
        return self.policy.counters()[name]

    def close(self) -> None:
        self.host.close()


Make = Callable[..., UksmHost]


make = maker_of(UksmHost)


def test_what_is_planted_is_found(make: Make) -> None:
    e = make()
    e.guest(*[0] * 20, *[7] * 10, *[8] * 2, *range(100, 190))
    e.guest(*[0] * 5, *[7] * 3, *[9] * 4, *range(200, 240), 100)
    e.settle()
    assert (e.get("pages_shared"), e.get("pages_sharing")) == (4, 12 + 1 + 3 + 1)
    assert e.get("ksm_zero_pages") == 25
    assert e.host.frames_in_use() == 4 + 89 + 40
    assert e.get("pages_merged") == 25 + 17


def test_the_bill_is_of_the_lines_in_which_the_words_lie(make: Make) -> None:
    """A sixteenth of each page's words, no matter what else is there; memory is read in lines."""
    e = make()
    e.guest(*range(1, 65))
    assert e.policy.scan(10) == 10
    assert e.get("words_hashed") == 10 * 64
    done = e.policy.work.done
    assert (done["hash_byte"], done["compare_byte"], done["visit"]) == (10 * 64 * int(e.tables.lines[64]), 0, 10)


def test_a_page_that_nobody_stores_to_is_read_once_and_billed_each_time(make: Make) -> None:
    e = make()
    memory = e.guest(*range(1, 65))
    e.sample(64)
    first = int(e.host.arrays.mms[memory.mm]["first"])
    assert (e.tables.unstable.strength[first : first + 64] == 64).all()
    memory.write(7, b"!")
    known = e.tables.unstable.key[first : first + 64].copy()
    e.host.arrays.words[1:65] ^= 1 << 50  # behind its back
    quotas = np.array([64, 0, 0, 0])
    assert scan_batch(e.host.arrays, e.tables, quotas) == 64
    assert np.flatnonzero(e.tables.unstable.key[first : first + 64] != known).tolist() == [7]
    assert e.get("words_hashed") == 2 * 64 * 64
    with pytest.raises(InvariantError, match="another hash"):
        e.policy.check()


def test_an_empty_page_is_known_by_its_hash(make: Make) -> None:
    e = make()
    memory = e.guest(0, 1, 0)
    e.sample(3)
    assert (e.get("ksm_zero_pages"), e.get("pages_compared"), e.get("words_hashed")) == (2, 2, 3 * 64)
    assert e.host.frames_in_use() == 1
    memory.write(0, b"!")
    e.settle()
    assert e.get("pages_cowed") == 1


def alike(e: UksmHost, *differing: int) -> np.ndarray:
    """Pages that have their first 64 hashed words in common, and differ beyond: one page for each number."""
    pages = np.random.default_rng(5).integers(0, 2**32, (1, 1024), np.uint32).repeat(len(differing), axis=0)
    pages[:, e.tables.words[500]] = differing
    rows: np.ndarray = pages.view(np.int64)
    return rows


def test_pages_of_equal_hash_get_a_second_level(make: Make) -> None:
    e = make()
    e.guest_of(alike(e, 1))
    e.sample(1)
    two = e.guest_of(alike(e, 2))
    e.sample(2)
    assert (e.get("collisions"), e.get("pages_sharing")) == (1, 0)
    assert e.get("words_hashed") >= 2 * (1034 - 64)  # both strongest hashes were computed
    e.guest_of(alike(e, 2, 3, 2, 3))
    for _ in range(3):
        e.sample(6)
    # One comparison has failed in each index. Since then strongest hashes tell them apart.
    assert e.get("collisions") == 2
    assert (e.get("pages_shared"), e.get("pages_sharing"), e.host.frames_in_use()) == (2, 3, 3)
    assert two.read(0) == alike(e, 2).tobytes()


def forged(e: UksmHost) -> np.ndarray:
    """Two different pages whose hashes of every strength but a few are equal: the second makes up for its change."""
    order = e.tables.words
    pages = np.random.default_rng(6).integers(0, 2**32, (2, 1024), np.uint32)
    pages[1] = pages[0]
    pages[1, order[200]] ^= 1

    def state(page: np.ndarray, strength: int) -> int:
        value = 0
        for k in range(strength):
            value = (value + int(page[order[k]])) * 257 & 0xFFFFFFFF
            value ^= value >> 12
        return value

    balance = int(pages[0, order[201]]) + state(pages[0], 201) - state(pages[1], 201)
    pages[1, order[201]] = balance & 0xFFFFFFFF
    rows: np.ndarray = pages.view(np.int64)
    return rows


def test_pages_of_equal_strongest_hash_are_given_up(make: Make) -> None:
    e = make()
    memory = e.guest_of(forged(e))
    e.settle()
    assert e.get("given_up") >= 1
    assert (e.get("pages_sharing"), e.host.frames_in_use()) == (0, 2)
    np.testing.assert_array_equal(memory.read_pages(np.arange(2)).view(np.int64), forged(e))


def slots_of(*kinds: int) -> np.ndarray:
    """Contents of slots: 0: all pages different from all others; else all pages hold this number."""
    contents = np.arange(10**6, 10**6 + len(kinds) * SLOT).reshape(-1, SLOT)
    for slot, kind in zip(contents, kinds, strict=True):
        if kind:
            slot[:] = kind
    return contents.ravel()


def test_slots_with_many_duplicates_go_up_and_others_stay(make: Make) -> None:
    e = make()
    memory = e.guest(*slots_of(0, 5, 0, 0, 6, 0, 0, 0).tolist())
    assert e.rungs(memory) == [0] * 8
    e.sample(64 + 8, wanted=64)  # every eighth page: eight samples of each slot, and the next round has begun
    assert e.rungs(memory) == [0, 1, 0, 0, 1, 0, 0, 0]
    assert e.get("slots_promoted") == 2
    for rung in (1, 2):
        e.sample(20, rung, wanted=16)
    assert e.rungs(memory) == [0, 3, 0, 0, 3, 0, 0, 0]
    assert 0 < e.get("pages_merged") < 128


def test_a_stride_covers_all_slots_by_few_samples(make: Make) -> None:
    e = make()
    e.guest(*slots_of(*[0] * 8).tolist())
    e.sample(32, wanted=32)
    assert e.tables.slots["scanned"][e.tables.slots["mm"] > 0].tolist() == [4] * 8
    assert e.tables.rungs[0]["step"] == 16


def test_a_slot_without_luck_goes_down_again(make: Make) -> None:
    e = make()
    memory = e.guest(*slots_of(0, 5, 0, 0, 0, 0, 0, 0).tolist())
    e.sample(64 + 8, wanted=64)
    assert e.rungs(memory)[1] == 1
    memory.write_pages(np.arange(64, 128), np.random.default_rng(1).integers(0, 255, (64, 4096), np.uint8))
    e.sample(9, 1, wanted=8)
    assert e.rungs(memory)[1] == 0
    assert e.get("slots_demoted") == 1


def test_pages_that_are_stored_to_again_keep_a_slot_down(make: Make) -> None:
    """More than half of what was merged: thrashing."""

    def rung_after(stored: int) -> int:
        e = make()
        memory = e.guest(*slots_of(0, 5, 0, 0, 0, 0, 0, 0).tolist())
        e.sample(12, wanted=64)  # inside the second slot
        merged = np.flatnonzero(e.tables.unstable.flags & 4) - int(e.host.arrays.mms[memory.mm]["first"])
        assert len(merged) >= 4
        for page in merged[:stored].tolist():
            memory.write(page, b"!")
        e.sample(8, wanted=64)
        assert e.get("pages_cowed") == stored
        return e.rungs(memory)[1]

    assert rung_after(1) == 1
    assert rung_after(4) == 0


def test_what_was_gone_through_starts_again_below(make: Make) -> None:
    """With few pages a round is all of them; then slots with many merges go up at the end of the global round."""
    e = make()
    memory = e.guest(*slots_of(0, 5).tolist())
    e.sample(127)
    assert (e.get("full_scans"), e.rungs(memory)) == (0, [0, 0])
    e.sample(1)
    assert (e.get("full_scans"), e.rungs(memory)) == (1, [0, 1])
    assert e.tables.slots["done"].sum() == 0
    e.sample(64, 1)
    assert e.rungs(memory) == [0, 0]  # gone through


def test_pages_are_visited_in_a_random_order_once_each(make: Make) -> None:
    e = make()
    memory = e.guest(*slots_of(0, 0).tolist())
    first = int(e.host.arrays.mms[memory.mm]["first"])
    order = e.tables.order[first : first + 128].reshape(2, 64)
    assert (np.sort(order, axis=1) == np.arange(64)).all()
    assert (order != np.arange(64)).any(axis=1).all()
    e.sample(64)
    assert (e.tables.unstable.flags[first : first + 64] & LINKED).all()


def linked(e: UksmHost) -> int:
    """Pages that wait in the unstable index."""
    return int((e.tables.unstable.flags & LINKED).sum())


def test_the_unstable_index_is_emptied_only_when_the_strength_changes(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    e = make()
    e.guest(*range(1, 129), *[500] * 64)
    monkeypatch.setattr(Strength, "adjust", lambda self, spared, lost, pages: self.value)
    e.settle()
    e.settle()
    assert linked(e) == 128

    def weaker(self: Strength, spared: int, lost: int, pages: int) -> int:
        self.value = 32
        return 32

    monkeypatch.setattr(Strength, "adjust", weaker)
    before = int(e.tables.found[WORDS])
    while e.get("hash_strength") == 64:
        e.policy.scan(1)
    assert linked(e) == 0
    assert e.get("frames_rekeyed") == 1
    assert e.tables.found[WORDS] - before >= 32
    e.policy.check()  # the hashes of shared frames are those of the new strength
    e.guest(500, 3)
    e.settle()
    assert (e.get("pages_shared"), e.get("pages_sharing")) == (2, 63 + 1 + 1)


def test_rounds_without_collisions_make_hashes_weaker_by_themselves(make: Make) -> None:
    e = make()
    random = np.random.default_rng(8).integers(-(2**62), 2**62, (256, 512))
    e.guest_of(random)
    for _ in range(200):
        e.policy.scan(64)
    assert e.get("hash_strength") < 40
    e.policy.check()


def test_pages_alike_in_what_is_hashed_make_hashes_stronger_by_themselves(make: Make) -> None:
    e = make()
    e.guest_of(alike(e, *range(1, 129)))
    for _ in range(8):
        e.policy.scan(64)
        e.policy.check()
    assert e.get("collisions") > 0
    assert e.get("pages_sharing") == 0


def test_a_page_that_changed_in_the_index_is_dropped(make: Make) -> None:
    e = make()
    one = e.guest(5)
    e.sample(1)
    one.write_pages(np.arange(1), np.full((1, 512), 6, np.int64).view(np.uint8))
    e.guest(5)
    e.sample(2)
    e.sample(2)
    assert e.get("pages_sharing") == 0
    one.write_pages(np.arange(1), np.full((1, 512), 5, np.int64).view(np.uint8))
    e.settle()
    assert e.get("pages_sharing") == 1


def test_a_guest_that_leaves_takes_its_slots_along(make: Make) -> None:
    e = make()
    one, two = e.guest(*slots_of(0, 5, 0).tolist()), e.guest(*slots_of(5).tolist())
    e.sample(100, wanted=64)
    one.exit()
    e.policy.exit(one.mm)
    e.policy.check()
    assert sum(e.get(f"slots_rung_{rung}") for rung in range(4)) == 1
    again = e.guest(*slots_of(5, 5).tolist())
    e.settle()
    assert (e.get("pages_shared"), e.get("pages_sharing")) == (1, 3 * 64 - 1)
    assert len(e.rungs(again)) == 2
    assert len(e.rungs(two)) == 1


def test_a_successor_goes_on_with_what_is_shared(make: Make) -> None:
    e = make()
    guests = [e.guest(5, 3), e.guest(5)]
    e.settle()
    e.policy = Uksm(e.host, 9)
    e.tables = e.policy._tables
    for memory in guests:
        e.policy.enter(memory.mm)
    e.guest(5)
    e.settle()
    assert (e.get("pages_shared"), e.get("pages_sharing")) == (1, 2)


def test_a_broken_record_is_noticed(make: Make) -> None:
    e = make()
    e.guest(5, 5)
    e.settle()
    pfn = int(np.flatnonzero(e.tables.stable.flags)[0])
    e.tables.stable.key[pfn] ^= 1 << 31
    with pytest.raises(InvariantError, match="another hash"):
        e.policy.check()


@pytest.mark.compiled
def test_it_scans_while_guests_store() -> None:
    host = Host.create(256, mms=4)
    policy = Uksm(host, 5)
    storers = race(policy, host)
    for _ in range(60):
        policy.scan(100)
    contents = {row.tobytes() for storer in storers for row in storer.known if row.any()}
    assert host.frames_in_use() == len(contents)
    policy.check()
    host.close()
