"""Difference Engine under guests that store meanwhile, deaths at any point, a full host, and swapping."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kit.engine_bench import CYCLE, PAGE, EngineBench, family, noise, repeating
from vmdedup.errors import KnobError
from vmdedup.policy import packing as shared_packing
from vmdedup.policy import storage as storage_module
from vmdedup.policy.difference_engine import packing as packing_module
from vmdedup.policy.difference_engine.records import C1, C4, Records
from vmdedup.subpage.delta import Delta, patch

ALL = CYCLE + 2


def everything() -> np.ndarray:
    """Pages for all mechanisms."""
    return np.concatenate([np.repeat(noise(2, 1), 3, axis=0), family(6, 2), repeating(6, 3), noise(3, 4)])


# Guests that are faster


def between(bench: EngineBench, meanwhile: Callable[[], None]) -> None:
    """Have something happen between indexing and patching, in every pass."""
    run = bench.engine._packing.run

    def later(records: Records, rows: int) -> None:
        meanwhile()
        run(records, rows)

    bench.engine._packing.run = later  # type: ignore[method-assign]


@pytest.mark.parametrize("page", range(4))
def test_a_store_between_indexing_and_patching(page: int) -> None:
    """Of any page: the reference, or one that is to be patched."""
    bench = EngineBench(family(4, 2))
    bench.passes(CYCLE)

    def store() -> None:
        bench.rows[page, 2000:2100] += 1
        bench.guest.write_bytes(np.array([page]), np.array([2000]), bench.rows[page : page + 1, 2000:2100])

    between(bench, store)
    bench.one_pass()
    assert bench.kinds()[0] <= 3
    bench.one_pass()
    assert bench.state(page) == C1
    bench.verify()


def test_a_store_while_the_patch_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = EngineBench(family(4, 2))
    bench.passes(CYCLE)

    def slow(reference: bytes, page: bytes, kind: Delta) -> bytes:
        number = int(np.flatnonzero((bench.rows == np.frombuffer(page, np.uint8)).all(axis=1))[0])
        bench.rows[number, 3] ^= 255
        bench.guest.write(number, bytes([bench.rows[number, 3]]), 3)
        return patch(reference, page, kind)

    monkeypatch.setattr(packing_module, "patch", slow)
    bench.one_pass()
    assert bench.kinds() == [0, 0, 0]
    assert bench.figure("storage_frames") == 0
    monkeypatch.undo()
    bench.verify()


def test_a_guest_that_stores_all_the_time() -> None:
    """A guest's thread and the engine, both at full speed: what it reads is what it stored."""
    bench = EngineBench(np.concatenate([everything()] * 4))
    count, stop, failures = bench.count, threading.Event(), []

    def live() -> None:
        random = np.random.default_rng(7)
        while not stop.is_set():
            pages = random.choice(count, 3, replace=False)
            if random.integers(2):
                bench.rows[pages, 600] ^= 0x11
                bench.guest.write_bytes(pages, np.full(3, 600), bench.rows[pages, 600:601])
            elif not (bench.guest.read_pages(pages) == bench.rows[pages]).all():
                failures.append(pages)

    guest = threading.Thread(target=live)
    guest.start()
    for _ in range(60):
        bench.engine.charge(bench.engine.now_ms + 4000, 0)
        bench.engine.scan(count)
    stop.set()
    guest.join()
    assert not failures
    bench.passes(ALL)
    bench.verify()


# Death


class Killed(BaseException):
    """Stands for SIGKILL: nothing is put in order on the way out."""


STEPS = (
    (
        packing_module,
        ("take_page", "hold_reference", "keep_away", "put_frame", "bring_back", "alloc_frame", "hold_kept"),
    ),
    (shared_packing, ("take_page", "keep_away", "put_frame")),
    (storage_module, ("hold_stored", "alloc_frame", "put_frame")),
)


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Die at the step-th of the engine's steps on the host: before it, or after it, in turn."""
    counted = [0]

    def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            counted[0] += 1
            if counted[0] == step:
                raise Killed
            result = function(*arguments)
            counted[0] += 1
            if counted[0] == step:
                raise Killed
            return result

        return run

    for module, names in STEPS:
        for name in names:
            monkeypatch.setattr(module, name, wrapped(getattr(module, name)))


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 17, 22, 31, 40, 52, 61, 75])
def test_death_at_any_step(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    bench = EngineBench(everything())
    bench.passes(CYCLE)
    kill_at(monkeypatch, step)
    with pytest.raises(Killed):
        bench.passes(3 * CYCLE)
    monkeypatch.undo()
    bench.host.recover()
    bench.engine = bench.attach()
    bench.engine.check()
    bench.guest.write(0, b"new")
    bench.rows[0, :3] = list(b"new")
    bench.passes(2 * ALL)
    assert bench.kinds()[0] >= 4
    assert bench.kinds()[1] >= 5
    bench.verify()
    bench.guest.exit()
    bench.engine.exit(bench.guest.mm)
    bench.engine.check()
    assert bench.host.frames_in_use() == 0


# Host memory


def test_a_full_host_loses_nothing() -> None:
    rows = everything()
    bench = EngineBench(rows, frames=len(rows))
    bench.passes(2 * ALL)
    assert bench.kinds()[0] == 5
    bench.verify()


def test_storage_is_compacted_when_little_is_left_in_its_frames() -> None:
    rows = repeating(200, 3)
    rows[:, 16:900] = noise(200, 4)[:, 16:900]
    bench = EngineBench(rows)
    bench.passes(ALL)
    before = bench.figure("storage_frames")
    assert before >= 40
    slots = bench.host.arrays.slots[bench.entry(0) : bench.entry(200)]
    _, kept = np.unique(slots["frame"], return_index=True)
    rest = np.setdiff1d(np.arange(200), kept)
    bench.rows[rest] = 0
    bench.guest.discard(rest)
    assert bench.figure("storage_frames") == before
    bench.passes(CYCLE)
    assert bench.figure("storage_frames") <= before // 2
    assert bench.figure("total_moved") == before
    bench.verify()


def test_swapping_starts_at_the_high_mark_and_stops_at_the_low_one() -> None:
    bench = EngineBench(noise(40, 1), frames=50, swap_high=60, swap_low=40)
    bench.passes(2)
    assert bench.kinds()[2] == 0
    bench.guest.touch(np.arange(10))
    bench.passes(CYCLE - 2)
    assert bench.kinds()[2] == 20
    assert bench.host.frames_in_use() == 20
    assert (bench.guest.entries[:10] & 1).all()
    bench.verify()
    assert bench.guest.counter("swapped_in") == 20


def test_patched_and_compressed_victims_are_rebuilt_first() -> None:
    bench = EngineBench(np.concatenate([family(4, 2), repeating(4, 3)]))
    bench.passes(ALL)
    assert bench.kinds() == [3, 4, 0]
    bench.engine.set("swap_high", "1")
    bench.passes(2)  # a reference can go only when no patch needs it
    assert bench.kinds() == [0, 0, 8]
    assert bench.figure("total_rebuilt_for_swap") == 7
    assert bench.host.frames_in_use() == 0
    assert bench.engine.work.done["bring_back"] == 7
    bench.verify()


def test_swapped_pages_are_neither_shared_nor_references() -> None:
    rows = np.concatenate([family(2, 2), noise(2, 3)])
    bench = EngineBench(rows, swap_high=1, patching=0, compression=0)
    bench.passes(CYCLE)
    assert bench.kinds() == [0, 0, 4]
    bench.engine.set("swap_high", "0")
    bench.engine.set("patching", "1")
    other = bench.add(rows)
    bench.engine.enter(other.mm)
    bench.passes(ALL)
    assert bench.kinds() == [0, 0, 4]
    assert bench.figure("pages_sharing") == 0
    assert int(bench.host.kinds()[other.mm, 1]) == 1
    bench.verify()


def test_without_a_swap_area_it_is_refused() -> None:
    bench = EngineBench(noise(2, 1), swap=False)
    with pytest.raises(KnobError, match="EINVAL"):
        bench.engine.set("swap_high", "50")
    assert bench.engine.get("swap_high") == 0


def test_absent_pages_are_long_idle_to_the_clock() -> None:
    bench = EngineBench(repeating(3, 3))
    bench.passes(ALL + 1)
    assert bench.kinds() == [0, 3, 0]
    assert [bench.state(page) for page in range(3)] == [C4] * 3
    assert bench.rows.shape == (3, PAGE)
