"""As many guests as go onto one host by what a tree charges them: exactly so many, by dynamic programming.

cheapest(node)[k] is the least that any k guests below a node are charged at it and below; of two children it is the
best way to take some from each. One host after another filled so places at least 1 - 1/e of the guests that any plan
for so many hosts does, where charges are what guests take (Fisher, Nemhauser and Wolsey 1978).
Source: Sindelar, Sitaraman and Shenoy, SPAA 2011 (abstract).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from vmdedup.place.best_fit import put
from vmdedup.place.fleet import Counts, Fleet
from vmdedup.place.hierarchy import Tree
from vmdedup.place.plan import Hosts, Plan, Room

_NOTHING = np.zeros(1, np.int64)


def fill_all(fleet: Fleet, room: Room, tree: Tree, name: str, note: str) -> Plan:
    """Host after host. A guest that is charged more than a host has goes where it really adds least."""
    hosts, left = Hosts(fleet, room), set(range(len(fleet)))
    while left and (chosen := most_guests(tree, left, room.pages)):
        host = hosts.open()
        if host is None:
            break
        for guest in chosen:
            hosts.put(guest, host)
        left -= set(chosen)
    for guest in sorted(left, key=lambda each: (int(fleet.alone[each]), each)):
        put(hosts, guest)
    return hosts.plan(name, note)


def most_guests(tree: Tree, guests: Iterable[int], pages: int) -> list[int]:
    """As many of these guests as are charged no more than so many pages together."""
    wanted = set(guests)
    nodes = tree.guests + len(tree.children)
    cheapest: list[Counts] = [_NOTHING] * nodes
    taken: dict[int, Counts] = {}  # of a node, by how many guests it has: those of its first child
    for guest in wanted:
        cheapest[guest] = _within(np.array([0, tree.charges[guest]]), pages)
    for number, (one, two) in enumerate(tree.children.tolist(), tree.guests):
        together, taken[number] = _best_of_two(cheapest[one], cheapest[two])
        together[1:] += tree.charges[number]
        cheapest[number] = _within(together, pages)
    return _chosen(tree, taken, nodes - 1, len(cheapest[-1]) - 1)


def _within(cheapest: Counts, pages: int) -> Counts:
    """More guests are never charged less, so all beyond the first that is too much are."""
    return cheapest[: int(np.searchsorted(cheapest, pages, side="right"))]


def _best_of_two(one: Counts, two: Counts) -> tuple[Counts, Counts]:
    """The least for k guests of two groups, and how many of the first are among them."""
    if len(one) == 1 or len(two) == 1:
        together = (one if len(two) == 1 else two).copy()
        return together, np.arange(len(together)) if len(two) == 1 else np.zeros(len(together), np.int64)
    sums = one[:, None] + two[None, :]
    length = len(one) + len(two) - 1
    grid = np.full((len(one), length), np.iinfo(np.int64).max)
    rows = np.arange(len(one))[:, None]
    grid[rows, rows + np.arange(len(two))] = sums
    first = grid.argmin(axis=0)
    return grid[first, np.arange(length)], first


def _chosen(tree: Tree, taken: dict[int, Counts], top: int, count: int) -> list[int]:
    """The guests themselves, from the top down."""
    found: list[int] = []
    left = [(top, count)]
    while left:
        node, wanted = left.pop()
        if wanted and node < tree.guests:
            found.append(node)
        elif wanted:
            one, two = tree.children[node - tree.guests].tolist()
            first = int(taken[node][wanted])
            left += [(one, first), (two, wanted - first)]
    return sorted(found)
