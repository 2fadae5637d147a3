"""VUsion: idle pages lose all access, merged or not; nobody can tell which by using them; savings stay."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kit.making import one_of
from kit.vusion_bench import COMMON, GUESTS, IDEAL, PAGES, TWICE, ZEROS, Bench, contents, frame, guarded
from vmdedup.errors import KnobError
from vmdedup.host.layout import CTL_FRAMES, PRESENT
from vmdedup.host.space import Memory

bench = one_of(Bench)


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
