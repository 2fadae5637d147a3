"""Fleets against sets: what any guests take together; and who moves."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kit.fleets import contents, guests_of, union
from vmdedup.place.contents import distinct
from vmdedup.place.fleet import Guest, fleet_of
from vmdedup.place.migration import moves
from vmdedup.place.plan import NOWHERE, Plan, plan_of
from vmdedup.units import PAGE_SIZE


@given(contents(7), st.integers(0, 3), st.data())
def test_a_set_of_guests_takes_each_content_once(held: list[set[int]], more: int, data: st.DataObject) -> None:
    fleet = fleet_of(guests_of(held, more))
    some = data.draw(st.lists(st.sampled_from(range(len(held))), unique=True))
    assert fleet.used(some) == union(held, some)
    assert fleet.saved(some) == sum(len(held[guest]) + more for guest in some) - union(held, some)
    assert fleet.alone.tolist() == [len(its) for its in held]


def test_contents_of_the_same_guests_are_one_part() -> None:
    fleet = fleet_of(guests_of([{1, 2, 3, 9}, {1, 2, 3, 5}, {3, 5}]))
    assert sorted(fleet.parts.tolist()) == [1, 1, 2]
    assert fleet.own.tolist() == [1, 0, 0]


def test_a_sample_is_the_same_in_all_guests_and_counts_for_all() -> None:
    words = np.arange(100_000, dtype=np.uint64)
    kept, half = distinct(words, 16), distinct(words[50_000:], 16)
    assert set(half.tolist()) == {word for word in kept.tolist() if word >= 50_000}
    fleet = fleet_of([Guest("a", 100_000, kept, times=16), Guest("b", 50_000, half, times=16)])
    assert abs(fleet.used([0, 1]) - 100_000) < 5 * (100_000 * 15) ** 0.5


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(NOWHERE, 2)), min_size=1, max_size=8))
def test_moves_are_the_fewest_where_one_host_is_one_host(pairs: list[tuple[str, int]]) -> None:
    """All ways to call the new hosts by the old names, in turn."""
    fleet = fleet_of(guests_of([{number + 1} for number in range(len(pairs))]))
    before, where = [old for old, _ in pairs], tuple(new for _, new in pairs)
    found = moves(fleet, before, Plan("any", where), PAGE_SIZE)
    placed = [number for number, new in enumerate(where) if new != NOWHERE]
    assert set(found.guests) <= set(placed)
    assert found.pages == len(found.guests) == round(found.seconds)
    staying = [(before[guest], where[guest]) for guest in placed if guest not in found.guests]
    assert len({old for old, _ in staying}) == len({new for _, new in staying}) == len(set(staying))


def test_a_plan_leaves_empty_hosts_out() -> None:
    plan = plan_of("any", 4, [[2], [], [0, 3]])
    assert plan.where == (1, NOWHERE, 0, 1)
    assert plan.hosts == [[2], [0, 3]]
    assert plan.placed == 3
