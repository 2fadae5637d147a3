"""A tree over guests, those that share most nearest to each other, with pages charged at its nodes.

             (all: what every guest has)
            ╱                            ╲
     (a, b: what both have besides)     c: the rest of c
      ╱              ╲
    a: rest         b: rest

A set of guests is charged each node on the ways from its guests up to the top, once. A page is charged to a guest at
the highest node that holds it, so what a set is charged is at least what it takes: a plan that goes by it fits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmdedup.place.fleet import Counts, Fleet


@dataclass(frozen=True, eq=False)
class Tree:
    """children: int64[guests - 1, 2], of node guests + n, made before it; the last node is the top. Guests are leaves.

    charges: int64[nodes], pages.
    """

    guests: int
    children: Counts
    charges: Counts

    @property
    def charged(self) -> int:
        """Pages that all guests together are charged."""
        return int(self.charges.sum())


def nested(fleet: Fleet) -> Counts:
    """The two guests, or groups, that are most alike become one, until all are (average linkage, Jaccard's index)."""
    count = len(fleet)
    shared = fleet.weighted @ fleet.has.T.astype(np.float32)
    alike = shared / np.maximum(1, fleet.alone[:, None] + fleet.alone[None, :] - shared)
    np.fill_diagonal(alike, -1)
    nodes, sizes = np.arange(count), np.ones(count)
    best = alike.argmax(axis=1)
    children = np.zeros((max(0, count - 1), 2), np.int64)
    alive = np.ones(count, np.bool_)
    for step in range(count - 1):
        rows = np.flatnonzero(alive)
        one = int(rows[alike[rows, best[rows]].argmax()])
        two = int(best[one])
        children[step] = nodes[one], nodes[two]
        alike[one] = (sizes[one] * alike[one] + sizes[two] * alike[two]) / (sizes[one] + sizes[two])
        alike[:, one] = alike[one]
        alike[one, one] = -1
        alike[two], alike[:, two] = -1, -1
        nodes[one], alive[two] = count + step, False
        sizes[one] += sizes[two]
        stale = np.flatnonzero(alive & ((best == one) | (best == two)))
        best[stale] = alike[stale].argmax(axis=1)
        best[one] = alike[one].argmax()
    return children


def charged(fleet: Fleet, children: Counts, share: float) -> Tree:
    """Charge each node what at least such a share of the guests below it have, and no node above it holds."""
    count, nodes = len(fleet), len(fleet) + len(children)
    having = np.zeros((nodes, len(fleet.parts)), np.int16)
    having[:count] = fleet.has
    sizes = np.ones(nodes, np.int64)
    for number, (one, two) in enumerate(children.tolist(), count):
        having[number] = having[one] + having[two]
        sizes[number] = sizes[one] + sizes[two]
    charges = np.zeros(nodes, np.int64)
    charges[:count] = fleet.own
    left: list[tuple[int, NDArray[np.bool_]]] = [(nodes - 1, np.zeros(len(fleet.parts), np.bool_))]
    while left:
        node, above = left.pop()
        held = (having[node] > 0) & (having[node] >= share * sizes[node]) & ~above
        charges[node] += fleet.parts[held].sum()
        if node >= count:
            below = above | held
            left += [(int(child), below) for child in children[node - count]]
    return Tree(count, children, charges)
