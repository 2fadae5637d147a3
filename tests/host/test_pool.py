"""The pool of frames: drawn by chance, given way to need, whole whoever is killed when."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vmdedup.errors import InvariantError
from vmdedup.host.frames import NO_FRAME, alloc_frame, put_frame
from vmdedup.host.layout import CTL_DRAW, CTL_POOL
from vmdedup.host.memory import Host
from vmdedup.host.pool import drain_pool, draw_frame, fill_pool

PLACES = 16


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host.create(64, frames=80, mms=2, page_size=64)
    made.arrays.ctl[CTL_DRAW] = 7
    fill_pool(made.arrays, PLACES)
    yield made
    made.close()


def pooled(host: Host) -> set[int]:
    """The frames of the pool."""
    return set(host.arrays.pool[host.arrays.pool != 0].tolist())


def test_what_is_drawn_is_used_once_and_the_pool_stays_full(host: Host) -> None:
    seen = set()
    for _ in range(40):
        before = pooled(host)
        pfn = int(draw_frame(host.arrays, 0))
        assert pfn in before
        assert len(pooled(host)) == PLACES
        assert pfn not in pooled(host)
        assert pfn not in seen
        seen.add(pfn)
    for pfn in seen:
        put_frame(host.arrays, pfn)
    host.check()
    assert host.frames_in_use() == 0


def test_places_are_drawn_by_a_generator_that_is_known(host: Host) -> None:
    """That of the C standard's example for rand(), of 31 bits, without its low ones."""
    h, state = host.arrays, 7
    for _ in range(100):
        state = (1103515245 * state + 12345) % (1 << 31)
        before = h.pool[:PLACES].copy()
        put_frame(h, int(draw_frame(h, 0)))
        assert np.flatnonzero(before != h.pool[:PLACES]).tolist() == [(state >> 8) % PLACES]


def test_each_place_is_drawn_about_as_often(host: Host) -> None:
    """Which place changes is counted; 4,000 draws of 16: 250 each, standard deviation 15."""
    h, times = host.arrays, np.zeros(PLACES, np.int64)
    for _ in range(4000):
        before = h.pool[:PLACES].copy()
        put_frame(h, int(draw_frame(h, 0)))
        times += before != h.pool[:PLACES]
    assert times.sum() == 4000
    assert 175 < times.min() <= times.max() < 325


def test_the_next_frame_cannot_be_told_from_the_one_freed_last(host: Host) -> None:
    """Without a pool a frame that is freed is the next to be had, always."""
    h = host.arrays
    reused = 0
    for _ in range(800):
        pfn = int(draw_frame(h, 0))
        put_frame(h, pfn)
        again = int(draw_frame(h, 0))
        reused += pfn == again
        put_frame(h, again)
    assert reused == 0  # it is in the pool now, at the earliest drawn next time
    drain_pool(h)
    pfn = int(draw_frame(h, 0))
    put_frame(h, pfn)
    assert int(draw_frame(h, 0)) == pfn


def test_the_pool_gives_way_when_memory_is_short(host: Host) -> None:
    h = host.arrays
    taken = {int(alloc_frame(h, 0)) for _ in range(80)}
    assert len(taken) == 80
    assert NO_FRAME not in taken
    assert pooled(host) == set()
    assert int(alloc_frame(h, 0)) == int(draw_frame(h, 0)) == NO_FRAME
    fill_pool(h, PLACES)
    assert pooled(host) == set()
    for pfn in taken:
        put_frame(h, pfn)
    assert int(draw_frame(h, 0)) in taken  # empty places: as they come
    fill_pool(h, PLACES)
    assert len(pooled(host)) == PLACES


def test_filling_again_takes_what_is_missing_only(host: Host) -> None:
    before = pooled(host)
    missing = int(host.arrays.pool[3])
    host.arrays.pool[3] = 0
    put_frame(host.arrays, missing)
    fill_pool(host.arrays, PLACES)
    assert len(pooled(host)) == PLACES
    assert pooled(host) >= before - {missing}
    host.check()


def test_draining_gives_all_back(host: Host) -> None:
    drain_pool(host.arrays)
    host.check()
    assert host.frames_in_use() == 0
    assert host.arrays.ctl[CTL_POOL] == 0


def test_recovery_keeps_the_pool_and_frees_what_a_draw_had_in_hand(host: Host) -> None:
    """Killed after allocating, and after the exchange: in both a frame is counted that nobody has."""
    h = host.arrays
    before = pooled(host)
    for _ in range(2):
        alloc_frame(h, 0)
        draw_frame(h, 0)
    with pytest.raises(InvariantError, match="0 entries and slots use it"):
        host.check()
    host.recover()
    host.check()
    assert host.frames_in_use() == 0
    assert len(pooled(host)) == PLACES
    assert len(pooled(host) & before) >= PLACES - 2


def test_memory_of_pooled_frames_can_be_given_back() -> None:
    host = Host.create(64, frames=80, mms=2)
    fill_pool(host.arrays, PLACES)
    for pfn in pooled(host):
        host.arrays.words[pfn] = 1
    assert host.trim() == PLACES * 4096
    assert not host.arrays.words[sorted(pooled(host))].any()
    host.close()
