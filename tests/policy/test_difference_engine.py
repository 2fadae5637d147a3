"""Difference Engine: the clock, sharing in passes, patches, compression. Section numbers are the paper's."""

from __future__ import annotations

import numpy as np
import pytest

from kit.engine_bench import CYCLE, INTERVAL_MS, PAGE, EngineBench, family, noise, repeating
from vmdedup.host.layout import PATCHED
from vmdedup.host.rebuild import kind_of_all
from vmdedup.jit.page import hash_page
from vmdedup.policy.difference_engine.equal import interval_of
from vmdedup.policy.difference_engine.records import C1, C2, C3, C4

ALL = CYCLE + 2  # passes until everything is done to pages that nobody uses, their first store seen


# The clock: 4.2


def test_the_states_of_a_page() -> None:
    bench = EngineBench(noise(4, 1))
    seen = []
    for step in range(9):
        if step == 7:
            bench.guest.touch(np.array([0]))
        if step == 8:
            bench.guest.write(0, b"x")
        bench.one_pass()
        seen.append(bench.state(0))
    assert seen == [C1, C3, C3, C3, C4, C4, C4, C2, C1]


def test_scans_are_four_seconds_apart() -> None:
    bench = EngineBench(noise(4, 1))
    assert bench.one_pass() == 4
    bench.engine.charge(bench.engine.now_ms + INTERVAL_MS - 1, 0)
    assert bench.engine.scan(100) == 0
    bench.engine.charge(bench.engine.now_ms + 1, 0)
    assert bench.engine.scan(100) == 4


def test_guests_are_scanned_a_portion_in_turn() -> None:
    bench = EngineBench(noise(24, 1), portion=8)
    other = bench.add(noise(12, 2))
    bench.engine.enter(other.mm)
    first = int(bench.host.arrays.mms[other.mm]["first"])
    for seen in ((8, 0), (8, 8), (16, 8), (20, 12), (24, 12)):
        bench.engine.scan(8)
        states = bench.engine._records.state
        own = states[bench.entry(0) : bench.entry(24)]
        assert (int(np.count_nonzero(own)), int(np.count_nonzero(states[first : first + 12]))) == seen
    assert bench.figure("pages_scanned") == 36


# Sharing: 4.1


def test_each_pass_shares_its_interval_of_hashes() -> None:
    rows = np.repeat(noise(40, 3), 2, axis=0)
    bench = EngineBench(rows, patching=0, compression=0)
    words = np.ascontiguousarray(rows).view(np.int64)
    due = [int(interval_of(hash_page(words, i), CYCLE)) for i in range(0, 80, 2)]
    assert len(set(due)) == CYCLE
    bench.passes(CYCLE)  # the first pass sees the stores: nothing is shared in it
    expected = sum(interval != 0 for interval in due)
    assert bench.figure("pages_sharing") == expected
    bench.one_pass()
    assert bench.figure("pages_sharing") == 40
    bench.verify()


def test_what_is_modified_is_left_alone_and_what_is_read_is_shared() -> None:
    rows = np.repeat(noise(3, 4), 2, axis=0)
    bench = EngineBench(rows)
    for _ in range(2 * CYCLE):
        bench.guest.write(0, rows[0, :1].tobytes())
        bench.guest.write(1, rows[1, :1].tobytes())
        bench.guest.touch(np.array([2, 3]))
        bench.one_pass()
    assert bench.frame(0) != bench.frame(1)
    assert bench.frame(2) == bench.frame(3)
    assert bench.frame(4) == bench.frame(5)


@pytest.mark.parametrize(("zero_page", "frames"), [(0, 1), (1, 0)])
def test_zero_pages_take_one_frame_or_none(zero_page: int, frames: int) -> None:
    bench = EngineBench(np.zeros((20, PAGE), np.uint8), zero_page=zero_page)
    bench.passes(ALL)
    assert bench.host.frames_in_use() == frames
    bench.verify()


def test_a_shared_page_can_be_shared_by_more() -> None:
    bench = EngineBench(np.repeat(noise(1, 5), 4, axis=0))
    bench.passes(ALL)
    other = bench.add(bench.rows)
    bench.engine.enter(other.mm)
    bench.passes(ALL)
    assert bench.host.frames_in_use() == 1
    assert bench.figure("pages_sharing") == 7


def test_the_last_user_of_a_shared_frame_can_be_compressed() -> None:
    bench = EngineBench(np.repeat(repeating(1, 6), 2, axis=0))
    bench.passes(ALL)
    assert bench.figure("pages_sharing") == 1
    bench.rows[0] = 7
    bench.guest.write_pages(np.array([0]), bench.rows[:1])
    bench.passes(ALL + 1)
    assert bench.kinds() == [0, 2, 0]
    bench.verify()


# Patches: 4.3


def test_planted_structure_is_found_exactly() -> None:
    rows = np.concatenate(
        [np.repeat(noise(1, 1), 10, axis=0), np.zeros((7, PAGE), np.uint8), family(9, 2), noise(11, 3)]
    )
    rows = rows[np.random.default_rng(0).permutation(len(rows))]
    bench = EngineBench(rows)
    bench.passes(ALL)
    assert bench.figure("pages_shared") == 2
    assert bench.figure("pages_sharing") == 9 + 6
    assert bench.kinds() == [8, 0, 0]
    assert bench.figure("patch_references") == 1
    assert 16 <= bench.figure("patch_bytes_average") < 160
    # One frame for all patches; two shared, the reference, and noise.
    assert bench.host.frames_in_use() == 1 + 2 + 1 + 11
    bench.verify()
    assert bench.kinds() == [0, 0, 0]
    assert bench.figure("storage_frames") == 0
    assert bench.guest.counter("unpatched") == 8


def test_patching_waits_for_a_full_cycle_of_sharing() -> None:
    bench = EngineBench(family(4, 2))
    bench.passes(CYCLE)
    assert bench.kinds() == [0, 0, 0]
    bench.one_pass()
    assert bench.kinds() == [3, 0, 0]


def test_a_page_that_is_read_is_a_reference_and_is_not_patched() -> None:
    bench = EngineBench(family(4, 2), compression=0)
    bench.passes(1)
    for _ in range(2 * CYCLE):
        bench.guest.touch(np.array([0, 1]))
        bench.one_pass()
    kept = (bench.guest.entries >> 9) & 7
    assert [bool(entry & 1) for entry in bench.guest.entries] == [True, True, False, False]
    assert kept[2] == kept[3] == 1
    bench.verify()


def test_a_patch_above_the_cut_off_is_not_kept() -> None:
    rows = family(4, 2, changed=300)
    bench = EngineBench(rows, compression=0, patch_cut_off=250)
    bench.passes(ALL)
    assert bench.kinds() == [0, 0, 0]
    assert bench.figure("total_patch_too_large") >= 1
    bench.engine.set("patch_cut_off", "2048")
    bench.passes(2 * CYCLE)
    assert bench.kinds() == [3, 0, 0]


@pytest.mark.parametrize("use", ["read", "store", "discard", "fork"])
def test_a_patched_page_can_be_used_in_any_way(use: str) -> None:
    bench = EngineBench(family(6, 2))
    bench.passes(ALL)
    assert bench.kinds() == [5, 0, 0]
    page = np.flatnonzero(bench.guest.entries & 1 == 0)[:1]
    if use == "store":
        bench.rows[page, 7] = 1
        bench.guest.write(int(page[0]), b"\1", 7)
    elif use == "discard":
        bench.rows[page] = 0
        bench.guest.discard(page)
    elif use == "fork":
        child = bench.guest.fork()
        np.testing.assert_array_equal(child.read_pages(np.arange(6)), bench.rows)
    bench.engine.check()
    bench.passes(ALL)
    bench.verify()


@pytest.mark.parametrize("use", ["store", "whole", "discard"])
def test_a_reference_can_be_stored_to(use: str) -> None:
    bench = EngineBench(family(6, 2))
    bench.passes(ALL)
    page = int(np.flatnonzero(bench.guest.entries & 1)[0])
    frame = bench.frame(page)
    if use == "store":
        bench.rows[page, :3] = 1
        bench.guest.write(page, b"\1\1\1")
    elif use == "whole":
        bench.rows[page] = 5
        bench.guest.write(page, b"\5" * PAGE)
    else:
        bench.rows[page] = 0
        bench.guest.discard(np.array([page]))
    assert bench.frame(page) != frame
    bench.engine.check()
    bench.passes(ALL)
    bench.verify()


def test_a_reference_outlives_its_guest() -> None:
    bench = EngineBench(family(6, 2))
    rows = family(6, 2)[1:]
    other = bench.add(rows)
    bench.engine.enter(other.mm)
    bench.passes(ALL)
    used = int(bench.host.kinds()[other.mm, 1]) + int(bench.figure("pages_sharing"))
    assert used >= 5
    bench.guest.exit()
    bench.engine.exit(bench.guest.mm)
    bench.engine.check()
    np.testing.assert_array_equal(other.read_pages(np.arange(5)), rows)
    bench.engine.check()
    assert bench.host.frames_in_use() == 5


def test_what_had_a_signature_before_does_not_stand_in_the_way() -> None:
    """The table is emptied after each cycle: page 0 had the family's signatures, and is something else by now."""
    rows, alike = noise(4, 9), family(3, 2)
    rows[0] = alike[0]
    bench = EngineBench(rows)
    bench.passes(ALL)
    bench.rows[:3] = np.concatenate([noise(1, 8), alike[1:]])
    bench.guest.write_pages(np.arange(3), bench.rows[:3])
    bench.passes(4 * CYCLE)
    assert bench.kinds() == [1, 0, 0]
    bench.verify()


def test_a_reference_goes_before_a_page_that_comes_first() -> None:
    alike = family(5, 2)
    rows = np.concatenate([noise(1, 9), alike[1:]])
    bench = EngineBench(rows)
    bench.passes(2 * CYCLE)  # so that page 0 is looked up when the table has just been emptied
    assert bench.kinds() == [3, 0, 0]
    bench.rows[0] = alike[0]
    bench.guest.write_pages(np.arange(1), alike[:1])
    bench.passes(3 * CYCLE)
    assert bench.kinds() == [4, 0, 0]
    assert bench.figure("patch_references") == 1
    bench.verify()


# Compression: 4.4


def test_only_pages_long_idle_are_compressed_one_pass_after_patching() -> None:
    bench = EngineBench(repeating(6, 5))
    for done in range(1, ALL + 3):
        bench.guest.touch(np.array([5]))
        bench.one_pass()
        assert bench.kinds()[1] == (5 if done >= ALL else 0)
    assert 0 < bench.figure("compressed_bytes") < 5 * 200
    bench.verify()
    assert bench.guest.counter("uncompressed") == 5


@pytest.mark.parametrize("codec", [0, 1, 2])
def test_either_codec(codec: int) -> None:
    bench = EngineBench(repeating(6, 5), codec=codec)
    bench.passes(ALL)
    assert bench.kinds() == [0, 6, 0]
    assert set(bench.host.arrays.slots[bench.entry(0) : bench.entry(6)]["codec"]) == {codec}
    bench.verify()


@pytest.mark.parametrize("kind", [0, 1])
def test_either_kind_of_patch(kind: int) -> None:
    """Also after it has changed: each patch is read as what it was made as."""
    bench = EngineBench(np.concatenate([family(4, 2), family(4, 3)]), delta=kind, compression=0)
    bench.passes(ALL)
    assert bench.kinds() == [6, 0, 0]
    patched = kind_of_all(bench.host.arrays.pte[bench.entry(0) : bench.entry(8)]) == PATCHED
    assert set(bench.host.arrays.slots[bench.entry(0) : bench.entry(8)]["codec"][patched]) == {kind}
    bench.engine.set("delta", str(1 - kind))
    bench.verify()


def test_what_does_not_compress_well_stays_and_is_tried_once_a_cycle() -> None:
    bench = EngineBench(noise(3, 5))
    bench.passes(ALL)
    assert bench.figure("total_compressed_too_large") == 3
    bench.passes(CYCLE - 1)
    assert bench.figure("total_compressed_too_large") == 3
    bench.one_pass()
    assert bench.figure("total_compressed_too_large") == 6
    assert bench.kinds() == [0, 0, 0]


# Each mechanism for itself: 5.2; other orders: 5.1


# Four equal pages of noise, twice; four alike; four that compress: what is left with one mechanism alone.
ALONE = {
    "sharing": ([0, 0, 0], 2 + 4 + 4),
    "patching": ([6 + 3, 0, 0], 2 + 1 + 4 + 1),
    "compression": ([0, 4, 0], 8 + 4 + 1),
}


@pytest.mark.parametrize("on", sorted(ALONE))
def test_mechanisms_in_isolation(on: str) -> None:
    rows = np.concatenate([np.repeat(noise(2, 1), 4, axis=0), family(4, 2), repeating(4, 3)])
    sharing, patching, compression = (int(name == on) for name in ("sharing", "patching", "compression"))
    bench = EngineBench(rows, sharing=sharing, patching=patching, compression=compression)
    bench.passes(2 * ALL)
    assert (bench.kinds(), bench.host.frames_in_use()) == ALONE[on]
    bench.verify()


def test_compression_first() -> None:
    rows = repeating(1, 1).repeat(4, axis=0)
    rows[1:, 600:603] = np.arange(9).reshape(3, 3)
    usual, other = EngineBench(rows), EngineBench(rows, compress_before_patch=1)
    for bench in (usual, other):
        bench.passes(2 * ALL)
        bench.verify()
    assert usual.figure("total_patched") == 3
    assert other.figure("total_patched") == 0
    assert other.figure("total_compressed") == 4


def test_everything_taken_for_idle() -> None:
    bench = EngineBench(repeating(4, 1), everything_c4=1)
    for _ in range(ALL + 1):
        bench.one_pass()
        bench.guest.touch(np.arange(4))
    assert bench.figure("total_compressed") >= 4
    bench.verify()


def test_work_is_counted_by_operation_and_billed_by_its_price() -> None:
    """Three pages like the first of a family, three that compress, and two that are equal: 9 pages."""
    bench = EngineBench(np.concatenate([family(4, 2), repeating(3, 4), np.repeat(noise(1, 9), 2, axis=0)]))
    bench.passes(ALL)
    done = bench.engine.work.done
    assert done["merge"] == 2  # the page that gives its frame, and the one that joins it
    assert done["compare_byte"] == PAGE
    assert (done["patch"], done["compress"]) == (3, 3)  # once each, and nothing else is tried
    # Patched in the last pass but one, three pages have no frame of their own in the last.
    assert (done["visit"], done["absent"]) == (9 * ALL - 3, 3)
    # Gupta et al. 2008, Table 2: share_page 6.2 µs, patch_page 338.1, compress 29.7; ksmd shares a page in 1.138.
    packing = 3 * (338.1 + 29.7) / 6.2 * (700 + PAGE * 0.107)
    looking = 417 * done["visit"] + 25 * 3 + 50 * done["hash_step"] + 0.182 * done["hash_byte"]
    assert bench.engine.work_ns() == pytest.approx(looking + 2 * 700 + PAGE * 0.107 + packing, abs=2)
