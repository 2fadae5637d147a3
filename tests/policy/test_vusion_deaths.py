"""VUsion killed, replaced, and at work while guests go on; frames that have become somebody else's."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from kit.making import one_of
from kit.vusion_bench import COMMON, GUESTS, IDEAL, PAGES, TWICE, ZEROS, Bench, contents, frame
from vmdedup.host.absent import make_guarded
from vmdedup.host.frames import alloc_frame, get_frame
from vmdedup.host.layout import CTL_FRAMES, FRAME_MASK, FRAME_SHIFT
from vmdedup.host.space import Memory
from vmdedup.policy.ksm import Ksm
from vmdedup.policy.sharing import was_accessed
from vmdedup.policy.vusion.index import enter_frame, find_frame
from vmdedup.policy.vusion.policy import Vusion

bench = one_of(Bench)


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
