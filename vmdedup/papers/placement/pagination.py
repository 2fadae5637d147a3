"""Grange's random instances: which way of packing is how far from the best, by how much guests share."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vmdedup.papers.bench.base import Bench, Curve, Experiment, Finding
from vmdedup.papers.bench.verdict import Row
from vmdedup.place.fleet import Guest, fleet_of
from vmdedup.place.plan import Room
from vmdedup.place.table import USUAL, algorithm
from vmdedup.result.published import Published

GUESTS, CONTENTS = 6, 7  # of an instance; of a guest
KNOWN = (10, 20, 40)  # contents that guests are drawn from: the more, the less they share
ROOM = 15  # contents that a host has room for
INSTANCES, QUICK = 5, 2  # of each


def instances(bench: Bench, known: int) -> Iterator[list[Guest]]:
    """Guests with contents drawn at random."""
    rng = np.random.default_rng([bench.seed, known])
    for _ in range(QUICK if bench.quick else INSTANCES):
        drawn = [rng.choice(known, CONTENTS, replace=False) for _ in range(GUESTS)]
        yield [Guest(f"g{n}", CONTENTS, np.sort(each).astype(np.uint64)) for n, each in enumerate(drawn)]


def packing(bench: Bench, published: Published) -> Finding:
    """Hosts that each way needs, over those that the best plan needs."""
    over: dict[str, list[float]] = {name: [] for name in USUAL}
    for known in KNOWN:
        needed = dict.fromkeys((*USUAL, "exact"), 0)
        for number, guests in enumerate(instances(bench, known)):
            bench.say(f"{known} contents, instance {number + 1}")
            fleet = fleet_of(guests)
            for name in needed:
                needed[name] += len(algorithm(name)(fleet, Room(ROOM)).hosts)
        for name in USUAL:
            over[name].append(100 * (needed[name] / needed["exact"] - 1))
    rows = [
        Row(f"{name}: more hosts than the best plan", "%", None, max(its), "never fewer", min(its) >= 0, own=True)
        for name, its in over.items()
    ]
    note = (
        f"{GUESTS} guests of {CONTENTS} contents out of {', '.join(map(str, KNOWN))}, with room for {ROOM} on a host; "
        "of the three the worst. In the picture each of them."
    )
    curves = [Curve(name, [float(known) for known in KNOWN], its) for name, its in over.items()]
    return Finding(rows, note, ("contents that are drawn from", "more hosts than the best plan, %"), curves)


EXPERIMENTS = (
    Experiment(
        "pagination",
        "Pagination: ways of packing guests that share, against the best",
        "pagination",
        "Random instances as the paper's, whose sizes and laws we do not know: ours are as small as an integer program "
        "(highspy) solves them at once. Its genetic ways are not here.",
        packing,
    ),
)
