"""Every algorithm: no host over its memory, each guest once; none better than exact, nor below its bound."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import e
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.fleets import contents, guests_of, union
from vmdedup.errors import UsageError
from vmdedup.place import tree
from vmdedup.place.fleet import Fleet, fleet_of
from vmdedup.place.hierarchy import charged, nested
from vmdedup.place.plan import NOWHERE, Plan, Room, require_room
from vmdedup.place.table import ALGORITHMS, USUAL, algorithm, choose
from vmdedup.place.tree_filling import most_guests

HOSTS = st.one_of(st.none(), st.integers(1, 3))
NESTED = {1, 2, 3}  # contents of all guests


def best(held: list[set[int]], room: int, hosts: int) -> tuple[int, int, int]:
    """By trying everything: least guests without a host, hosts, pages."""
    found = []
    for where in product(range(NOWHERE, hosts), repeat=len(held)):
        taken = [union(held, [guest for guest, its in enumerate(where) if its == host]) for host in range(hosts)]
        if max(taken) <= room:
            found.append((where.count(NOWHERE), sum(map(bool, taken)), sum(taken)))
    return min(found)


def score(fleet: Fleet, plan: Plan) -> tuple[int, int, int]:
    """The same of a plan."""
    return len(fleet) - plan.placed, len(plan.hosts), sum(fleet.used(host) for host in plan.hosts)


@pytest.mark.parametrize("name", USUAL)
@settings(max_examples=40)
@given(held=contents(9), spare=st.integers(0, 20), hosts=HOSTS)
def test_no_host_is_over_its_memory_and_each_guest_has_one(
    name: str, held: list[set[int]], spare: int, hosts: int | None
) -> None:
    fleet, room = fleet_of(guests_of(held)), Room(max(map(len, held)) + spare, hosts)
    plan = algorithm(name)(fleet, room)
    assert all(union(held, guests) <= room.pages for guests in plan.hosts)
    assert len(plan.where) == len(held)
    assert sorted(guest for guests in plan.hosts for guest in guests) == [
        guest for guest, host in enumerate(plan.where) if host != NOWHERE
    ]
    if hosts is None:
        assert plan.placed == len(held)
    else:
        assert len(plan.hosts) <= hosts
        assert plan.placed


@settings(max_examples=15, deadline=None)
@given(held=contents(4), spare=st.integers(0, 10), hosts=st.integers(1, 2))
def test_exact_is_the_best_of_all(held: list[set[int]], spare: int, hosts: int) -> None:
    pytest.importorskip("highspy", reason="needs highspy: pip install 'vmdedup[place]'")
    fleet, room = fleet_of(guests_of(held)), Room(max(map(len, held)) + spare, hosts)
    plan = algorithm("exact")(fleet, room)
    assert all(union(held, guests) <= room.pages for guests in plan.hosts)
    assert score(fleet, plan) == best(held, room.pages, hosts)
    assert all(score(fleet, algorithm(name)(fleet, room)) >= score(fleet, plan) for name in USUAL)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=5), st.integers(6, 16), st.integers(1, 2))
def test_filling_by_the_tree_is_within_its_bound(kinds: list[int], pages: int, hosts: int) -> None:
    """Contents that a tree tells wholly: of all guests, of a kind of them, and own ones."""
    held = [NESTED | {10 + 2 * kind, 11 + 2 * kind} | {100 + number} for number, kind in enumerate(kinds)]
    fleet, room = fleet_of(guests_of(held)), Room(pages, hosts)
    made = charged(fleet, nested(fleet), tree.SHARE)
    assert made.charged == fleet.used(range(len(held)))
    plan = tree.place(fleet, room)
    most = len(held) - best(held, pages, hosts)[0]
    assert plan.placed >= (1 - 1 / e) * most


@given(contents(6), st.integers(0, 30), st.sampled_from([0.5, 1.0]))
def test_a_host_is_filled_with_as_many_as_the_tree_lets(held: list[set[int]], pages: int, share: float) -> None:
    fleet = fleet_of(guests_of(held))
    made = charged(fleet, nested(fleet), share)
    ways = [way_up(made.children.tolist(), len(held), guest) for guest in range(len(held))]
    fitting = [0]
    for chosen in product((False, True), repeat=len(held)):
        some = [guest for guest, is_in in enumerate(chosen) if is_in]
        charge = int(made.charges[sorted(set().union(*(ways[guest] for guest in some)))].sum()) if some else 0
        assert charge >= union(held, some), "what is charged is never less than what is taken"
        if charge <= pages:
            fitting.append(len(some))
    assert len(most_guests(made, range(len(held)), pages)) == max(fitting)


def way_up(children: list[list[int]], guests: int, node: int) -> set[int]:
    """A guest's node and all above it."""
    found = {node}
    for above, pair in enumerate(children, guests):
        if found & set(pair):
            found.add(above)
    return found


def test_buddies_moves_no_more_than_it_must() -> None:
    held = [{1, 2, 3}, {1, 2, 4}, {7, 8, 9}, {7, 8, 10}]
    guests = [replace(guest, host=host) for guest, host in zip(guests_of(held), "xxyy", strict=True)]
    fleet = fleet_of(guests)
    assert algorithm("buddies")(fleet, Room(4)).where == (0, 0, 1, 1)
    assert len(algorithm("buddies")(fleet, Room(8)).hosts) == 1


def test_sharing_is_seen_by_best_fit_and_not_by_first_fit() -> None:
    held = [{1, 2, 3, 4}, {11, 12, 13, 14}, {1, 2, 3, 5}, {11, 12, 13, 15}]
    fleet, room = fleet_of(guests_of(held)), Room(8)
    assert algorithm("first-fit")(fleet, Room(5)).where == (0, 1, 0, 1)
    assert algorithm("first-fit")(fleet, room).where == (0, 0, 1, 1)
    assert len(algorithm("tree")(fleet, Room(5)).hosts) == 2


def test_names_and_sizes_are_looked_at() -> None:
    fleet = fleet_of(guests_of([{1}, {1, 2, 3}]))
    require_room(fleet, Room(3))
    with pytest.raises(UsageError, match="g1 has 12KiB, more than any host"):
        require_room(fleet, Room(2))
    assert choose("tree, exact,tree") == ["tree", "exact"]
    with pytest.raises(UsageError, match="no algorithm 'best'"):
        choose("best")
    assert set(USUAL) < set(ALGORITHMS)


def test_exact_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("highspy", reason="needs highspy: pip install 'vmdedup[place]'")
    import sys

    from vmdedup.errors import EnvironmentLacksError

    fleet = fleet_of(guests_of([{1}, {2}]))
    module: ModuleType = __import__("vmdedup.place.exact", fromlist=["MOST"])
    monkeypatch.setattr(module, "MOST", 1)
    with pytest.raises(UsageError, match="variables are more than 1"):
        algorithm("exact")(fleet, Room(1))
    monkeypatch.setitem(sys.modules, "highspy", None)
    with pytest.raises(EnvironmentLacksError, match=r"pip install 'vmdedup\[place\]'"):
        algorithm("exact")(fleet, Room(1))
