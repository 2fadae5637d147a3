"""Guests that wait for memory: who lives how long, and what share of time that is."""

from __future__ import annotations

import pytest

from vmdedup.run.backend.waiting import Waiting

MS = 1_000_000


def test_a_guest_lives_less_of_the_ticks_after_it_has_waited() -> None:
    waiting = Waiting()
    waiting.charge(1, 130 * MS)
    assert [waiting.time_left(1, 100 * MS) for _ in range(3)] == [0, 70 * MS, 100 * MS]
    assert waiting.time_left(2, 100 * MS) == 100 * MS
    assert (waiting.lost_ns, waiting.lived_ns) == (130 * MS, 400 * MS)
    waiting.charge(1, 50 * MS)
    waiting.forget(1)
    assert waiting.time_left(1, 100 * MS) == 100 * MS, "another guest has its number"


def test_shares_are_of_the_time_since_the_row_before() -> None:
    waiting = Waiting()
    waiting.charge(1, 50 * MS)
    waiting.charge(2, 20 * MS)
    for mm in (1, 2):
        waiting.time_left(mm, 100 * MS)
    waiting.end_tick(100 * MS)
    for mm in (1, 2):
        waiting.time_left(mm, 100 * MS)
    waiting.end_tick(100 * MS)
    row = waiting.row()
    assert row["waited_s"] == pytest.approx(0.07)
    assert row["memory_some"] == pytest.approx((1 - 0.5 * 0.8) / 2)
    assert row["memory_full"] == pytest.approx(0.5 * 0.2 / 2)
    assert waiting.row() == {"waited_s": pytest.approx(0.07), "memory_some": 0.0, "memory_full": 0.0}


def test_without_guests_nobody_waits() -> None:
    waiting = Waiting()
    waiting.end_tick(100 * MS)
    assert waiting.row() == {"waited_s": 0.0, "memory_some": 0.0, "memory_full": 0.0}
