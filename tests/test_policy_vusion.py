"""VUsion: idle pages lose all access, merged or not; nobody can tell which by using them; savings stay."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from vmdedup.errors import KnobError
from vmdedup.host.absent import make_guarded
from vmdedup.host.frames import alloc_frame, get_frame
from vmdedup.host.layout import CTL_FRAMES, FRAME_MASK, FRAME_SHIFT, GUARDED, PRESENT
from vmdedup.host.memory import Host, Memory
from vmdedup.host.rebuild import frames_behind, kind_of_all
from vmdedup.policy.ksm import Ksm
from vmdedup.policy.sharing import was_accessed
from vmdedup.policy.vusion.index import enter_frame, find_frame
from vmdedup.policy.vusion.policy import Vusion

PAGES, GUESTS = 64, 3
COMMON, TWICE, ZEROS = 16, 8, 4  # pages that all guests have; that each has twice; empty ones
IDEAL = GUESTS * PAGES - (COMMON + 1 + GUESTS * (PAGES - COMMON - TWICE - ZEROS))  # frames that can be saved


def contents(guest: int) -> np.ndarray:
    """The planted structure; the rest is unique."""
    rows = np.random.default_rng(100 + guest).integers(0, 256, (PAGES, 4096), dtype=np.uint8)
    rows[:COMMON] = np.random.default_rng(7).integers(0, 256, (COMMON, 4096), dtype=np.uint8)
    rows[COMMON : COMMON + TWICE] = rows[PAGES - TWICE :]
    rows[COMMON + TWICE : COMMON + TWICE + ZEROS] = 0
    return rows


class Bench:
    """Guests with that structure, and the policy."""

    def __init__(self, seed: int = 1, room: int = 1024) -> None:
        self.host = Host.create(GUESTS * PAGES + 64, frames=room, mms=GUESTS + 2)
        self.policy = Vusion(self.host, seed)
        self.guests = [self.host.add(PAGES, f"g{number}") for number in range(GUESTS)]
        for number, memory in enumerate(self.guests):
            memory.write_pages(np.arange(PAGES), contents(number))
            self.policy.enter(memory.mm)

    def rounds(self, count: int = 1) -> None:
        """Let it go round all memory so many times."""
        for _ in range(count):
            assert self.policy.scan(GUESTS * PAGES) == GUESTS * PAGES

    def saved(self) -> int:
        return int(self.host.allocated()[0].sum()) - self.host.frames_in_use()

    def figure(self, name: str) -> int:
        return self.policy.counters()[name]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.policy.check()
    made.host.close()


def guarded(memory: Memory) -> np.ndarray:
    """Which pages of a guest are guarded, bool[pages]."""
    return np.asarray(kind_of_all(memory.entries) == GUARDED)


def frame(memory: Memory, page: int) -> int:
    """The frame that a page lies in, accessible or not."""
    return int(frames_behind(memory.entries)[page])


def test_on_idle_memory_it_saves_all_that_exact_sharing_can(bench: Bench) -> None:
    bench.rounds(2)
    assert bench.saved() == IDEAL
    assert bench.figure("pages_sharing") == IDEAL
    merged = GUESTS * (COMMON + 2 * TWICE + ZEROS)
    assert bench.figure("merged_pages") == merged
    assert bench.figure("fake_merged_pages") == GUESTS * PAGES - merged
    assert sum(bench.policy.ksm_stat(memory.mm)["ksm_merging_pages"] for memory in bench.guests) == merged
    for number, memory in enumerate(bench.guests):
        np.testing.assert_array_equal(memory.read_pages(np.arange(PAGES)), contents(number))
    assert bench.saved() == 0


def test_the_first_round_finds_the_working_set_and_leaves_it_alone(bench: Bench) -> None:
    bench.rounds()
    assert (bench.saved(), bench.figure("working_set_visits")) == (0, GUESTS * PAGES)
    used, read_only = np.arange(0, PAGES, 3), np.arange(0, PAGES, 6)
    for _ in range(5):
        for memory in bench.guests:
            memory.touch(read_only)
            for page in np.setdiff1d(used, read_only).tolist():
                memory.write(page, b"!")
        bench.rounds()
    for memory in bench.guests:
        assert np.flatnonzero(~guarded(memory)).tolist() == used.tolist()


def test_a_page_may_have_to_be_idle_for_longer(bench: Bench) -> None:
    bench.policy.set("idle_rounds", "3")
    for _ in range(3):
        bench.rounds()
        assert not guarded(bench.guests[0]).any()
    bench.rounds()
    assert guarded(bench.guests[0]).all()


def test_unique_pages_are_fake_merged_in_other_frames(bench: Bench) -> None:
    memory, page = bench.guests[0], PAGES - TWICE - 1
    own = frame(memory, page)
    bench.rounds(2)
    assert guarded(memory)[page]
    assert frame(memory, page) != own
    assert int(bench.host.arrays.frames[frame(memory, page)]) & 0xFFFFFFFF == 1


USES: list[Callable[[Memory, int], object]] = [
    lambda memory, page: memory.touch(np.array([page])),
    lambda memory, page: memory.read(page),
    lambda memory, page: memory.write(page, b"!"),
    lambda memory, page: memory.write(page, bytes(4096)),
]


@pytest.mark.parametrize("use", USES, ids=["touch", "read", "poke", "store"])
def test_every_use_copies_merged_and_private_pages(bench: Bench, use: Callable[[Memory, int], object]) -> None:
    bench.rounds(2)
    memory, private, merged = bench.guests[1], PAGES - TWICE - 1, 0
    for copies, page in enumerate((private, merged), 1):
        before = frame(memory, page)
        use(memory, page)
        assert memory.counter("cow_ksm") == copies
        assert memory.entries[page] & PRESENT
        assert frame(memory, page) != before
        use(memory, page)
        assert memory.counter("cow_ksm") == copies  # it is its own now
    assert bench.figure("copies") == 2
    assert frame(bench.guests[0], merged) == frame(bench.guests[2], merged)


def test_a_page_used_again_joins_its_equals_again(bench: Bench) -> None:
    bench.rounds(2)
    bench.guests[0].touch(np.arange(PAGES))
    bench.guests[2].write(0, b"else")
    bench.rounds(2)
    assert bench.saved() == IDEAL - 1
    for memory in bench.guests:
        memory.touch(np.arange(PAGES))
    assert bench.saved() == 0
    bench.rounds(2)
    assert bench.saved() == IDEAL - 1


def test_the_budget_is_kept_to_a_page(bench: Bench) -> None:
    looked = 0
    for budget in (1, 7, 50, 1000):
        done = bench.policy.scan(budget)
        assert done <= budget
        looked += done
        assert bench.figure("pages_scanned") == looked
    assert bench.figure("full_scans") == 1
    assert looked == GUESTS * PAGES


def test_what_it_does_is_paid_for(bench: Bench) -> None:
    bench.rounds(2)
    done, pages = bench.policy.work.done, GUESTS * PAGES
    assert (done["visit"], done["hash_byte"], done["merge"]) == (2 * pages, pages * 4096, pages)
    assert done["compare_byte"] == pages * 4096  # each was compared once, or copied


# The pool


def test_frames_are_drawn_from_the_pool(bench: Bench) -> None:
    h = bench.host.arrays
    assert bench.figure("pool_pages") == 0
    bench.rounds()
    places = int(h.ctl[CTL_FRAMES]) // 64
    assert bench.figure("pool_pages") == places == 16
    pooled = set(h.pool[h.pool != 0].tolist())
    bench.policy.scan(1)
    assert frame(bench.guests[0], 0) in pooled
    pooled = set(h.pool[h.pool != 0].tolist())
    bench.guests[0].touch(np.array([0]))
    assert frame(bench.guests[0], 0) in pooled
    assert bench.host.frames_in_use() == GUESTS * PAGES


def test_another_seed_draws_other_frames_and_does_the_same() -> None:
    outcomes, places = [], []
    for seed in (1, 1, 2):
        bench = Bench(seed)
        bench.rounds(3)
        outcomes.append((bench.policy.counters(), bench.policy.work_ns(), bench.saved()))
        places.append([frame(memory, page) for memory in bench.guests for page in range(PAGES)])
        bench.host.close()
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert places[0] == places[1]
    assert np.mean(np.array(places[0]) == np.array(places[2])) < 0.5


def test_the_pool_is_as_large_as_it_is_told_to_be(bench: Bench) -> None:
    for bits, places in ((3, 8), (0, 0), (15, 16), (2, 4)):
        bench.policy.set("entropy_bits", str(bits))
        bench.policy.scan(1)
        assert bench.figure("pool_pages") == places
        bench.policy.check()
    with pytest.raises(KnobError):
        bench.policy.set("entropy_bits", "16")
    with pytest.raises(KnobError):
        bench.policy.set("idle_rounds", "0")


def test_without_a_pool_all_is_the_same_but_the_frames(bench: Bench) -> None:
    bench.policy.set("entropy_bits", "0")
    bench.rounds(2)
    assert bench.saved() == IDEAL


def test_where_memory_is_short_the_pool_is_given_up_and_guests_go_on() -> None:
    bench = Bench(room=GUESTS * PAGES + 16)
    bench.policy.set("entropy_bits", "2")
    bench.rounds(2)
    late = bench.host.add(64, "late")
    late.write_pages(np.arange(64), np.random.default_rng(5).integers(0, 256, (64, 4096), dtype=np.uint8))
    bench.policy.enter(late.mm)
    for memory in bench.guests[:1]:
        memory.touch(np.arange(8))
    bench.policy.check()
    bench.policy.scan(64)
    bench.policy.check()
    bench.host.close()


def test_without_a_free_frame_pages_stay_as_they_are_and_one_is_enough() -> None:
    bench = Bench(room=GUESTS * PAGES)
    bench.rounds(3)
    assert bench.saved() == bench.figure("merged_pages") == bench.figure("fake_merged_pages") == 0
    bench.guests[0].discard(np.array([PAGES - TWICE - 1]))
    bench.rounds(2)
    assert bench.saved() == IDEAL
    bench.policy.check()
    bench.host.close()


# Death


def test_one_that_takes_over_knows_what_is_guarded(bench: Bench) -> None:
    bench.rounds(2)
    bench.host.recover()
    bench.policy = Vusion(bench.host, 2)
    for memory in bench.guests:
        bench.policy.enter(memory.mm)
    late = bench.host.add(64, "late")
    late.write_pages(np.arange(64), contents(0)[:64])
    bench.policy.enter(late.mm)
    for _ in range(2):
        bench.policy.scan(GUESTS * PAGES + 64)
    assert bench.saved() == IDEAL + 64
    assert bench.figure("total_fake_merged") == 0


def stop_after(step: int, bench: Bench, entry: int) -> None:
    """What a process killed while it guards a page leaves behind, after so many of its steps."""
    h = bench.host.arrays
    frame = int(alloc_frame(h, 0))
    if step > 0:
        h.words[frame] = h.words[(int(h.pte[entry]) >> FRAME_SHIFT) & FRAME_MASK]
        h.frames[frame] |= 5 << 32
    if step > 1:
        own = (int(h.pte[entry]) >> FRAME_SHIFT) & FRAME_MASK
        was_accessed(h, entry)
        assert get_frame(h, own)  # the last step, dropping its count, was not reached
        assert make_guarded(h, entry, int(h.pte[entry]), frame)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_killed_at_any_step_nothing_is_lost(bench: Bench, step: int) -> None:
    memory = bench.guests[0]
    stop_after(step, bench, int(bench.host.arrays.mms[memory.mm]["first"]) + 3)
    bench.host.recover()
    bench.host.check()
    assert bench.host.frames_in_use() == GUESTS * PAGES
    bench.policy = Vusion(bench.host, 3)
    for each in bench.guests:
        bench.policy.enter(each.mm)
    bench.rounds(2)
    assert bench.saved() == IDEAL
    assert memory.read(3) == contents(0)[3].tobytes()


def test_a_dead_guest_s_guarded_pages_are_nobody_s(bench: Bench) -> None:
    bench.rounds(2)
    bench.host.bury(bench.guests[1].mm)
    bench.host.recover()
    bench.policy.exit(bench.guests[1].mm)
    bench.policy.check()
    alone = 2 * (PAGES - COMMON - TWICE - ZEROS)
    assert bench.host.frames_in_use() == COMMON + 1 + alone


def test_all_that_ksm_had_merged_is_taken_over() -> None:
    """Its shared frames are copied; what lies in the zero page stays there."""
    bench = Bench()
    ksm = Ksm(bench.host)
    for memory in bench.guests:
        ksm.enter(memory.mm)
    for _ in range(8):
        ksm.scan(GUESTS * PAGES)
    assert bench.saved() > 0
    bench.host.recover()
    bench.rounds(2)
    assert bench.saved() == IDEAL
    for number, memory in enumerate(bench.guests):
        np.testing.assert_array_equal(memory.read_pages(np.arange(PAGES)), contents(number))
    bench.policy.check()
    bench.host.close()


# The table of frames


def test_a_frame_that_has_become_another_s_is_not_taken_for_what_it_was(bench: Bench) -> None:
    h, tables = bench.host.arrays, bench.policy._tables
    memory = bench.guests[0]
    own = frame(memory, 5)
    enter_frame(tables, own, 1234)  # not marked as shared
    enter_frame(tables, int(h.ctl[CTL_FRAMES]) - 1, 1234)  # free
    assert find_frame(h, tables, 1234, own) == 0
    assert not tables.linked[own]
    bench.rounds(2)
    shared = frame(memory, 0)
    other = frame(memory, 1)
    assert find_frame(h, tables, int(tables.digest[shared]), other) == 0  # equal hashes, other contents


def test_chains_stay_whole_whatever_is_entered_anew(bench: Bench) -> None:
    """Frames of one bucket, entered again under other hashes, from its front, middle and end."""
    tables = bench.policy._tables
    buckets = len(tables.heads)
    for number in range(1, 6):
        enter_frame(tables, number, 7 + number * buckets)
    for number, digest in ((5, 9), (3, 9 + buckets), (1, 7 + 99 * buckets)):
        enter_frame(tables, number, digest)

    def chain(bucket: int) -> list[int]:
        found, at = [], int(tables.heads[bucket])
        while at:
            found.append(at)
            at = int(tables.link[at])
        return found

    assert (chain(7), chain(9)) == ([1, 4, 2], [3, 5])


# Guests that go on meanwhile


class User(threading.Thread):
    """A guest that stores few different contents, reads, and keeps a copy of what it stored."""

    def __init__(self, memory: Memory, seed: int) -> None:
        super().__init__()
        self.memory, self.random = memory, np.random.default_rng(seed)
        self.known = contents(seed)
        self.wrong = 0

    def run(self) -> None:
        for _ in range(300):
            some = self.random.choice(PAGES, 6, replace=False)
            self.known[some] = self.random.integers(0, 3, 6, np.uint8)[:, np.newaxis]
            self.memory.write_pages(some, self.known[some])
            page = int(self.random.integers(PAGES))
            self.known[page, 4000] = self.random.integers(3)
            self.memory.write(page, bytes([self.known[page, 4000]]), 4000)
            self.memory.discard(some[:1])
            self.known[some[0]] = 0
            few = self.random.choice(PAGES, 3, replace=False)
            self.wrong += int((self.memory.read_pages(few) != self.known[few]).any())


@pytest.mark.compiled  # threads run at the same time only there
def test_guests_go_on_while_it_scans(bench: Bench) -> None:
    users = [User(memory, number) for number, memory in enumerate(bench.guests)]
    for user in users:
        user.start()
    while any(user.is_alive() for user in users):
        bench.policy.scan(150)
    for user in users:
        user.join()
        assert user.wrong == 0
        np.testing.assert_array_equal(user.memory.read_pages(np.arange(PAGES)), user.known)
    assert bench.figure("total_merged") > 0
    bench.policy.check()
