"""Memory Buddies: how many guests more as many hosts take if their placement sees what is shared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vmdedup.papers.bench.base import Bench, Experiment, Finding
from vmdedup.papers.bench.verdict import Row
from vmdedup.place.fleet import Fleet, fleet_of
from vmdedup.place.plan import Room
from vmdedup.place.synthetic import Law, synthetic
from vmdedup.place.table import algorithm
from vmdedup.result.published import Published
from vmdedup.units import GIB, PAGE_SIZE

GUESTS, QUICK, HOST_GIB = 600, 150, 64
SHARE = 0.7  # of the hosts that first fit needs for all


def drawn(bench: Bench) -> Fleet:
    """The synthetic fleet of a seed."""
    bench.say("drawing a fleet")
    return fleet_of(synthetic(Law(guests=QUICK if bench.quick else GUESTS, seed=bench.seed)))


def apart(fleet: Fleet) -> Fleet:
    """The same guests, as if no page were shared, not even inside one."""
    nothing = np.zeros(0, np.int64)
    return replace(fleet, own=fleet.pages, parts=nothing, has=np.zeros((len(fleet), 0), np.bool_))


def more_guests(bench: Bench, published: Published) -> Finding:
    """Guests that find room on too few hosts, by who places them."""
    fleet, pages = drawn(bench), HOST_GIB * GIB // PAGE_SIZE
    needed = len(algorithm("first-fit")(fleet, Room(pages)).hosts)
    room = Room(pages, max(1, int(SHARE * needed)))
    blind = algorithm("first-fit")(fleet, room).placed
    plain = algorithm("first-fit")(apart(fleet), room).placed
    level = published.levels["more_guests_percent"]
    rows = []
    for name in ("best-fit", "buddies", "tree", "cluster-tree"):
        bench.say(name)
        more = 100 * (algorithm(name)(fleet, room).placed / blind - 1)
        is_theirs = name == "buddies"
        paper, claim = (level, "more than blind placement") if is_theirs else (None, "")
        rows.append(Row(f"{name}: more guests than first fit", "%", paper, more, claim, more > 0 if claim else None))
    rows.append(Row("first fit: more guests than without sharing", "%", None, 100 * (blind / plain - 1)))
    note = (
        f"{len(fleet)} guests for {room.hosts} hosts, {needed} of which first fit needs for all; it places {blind}. "
        "Buddies takes guests in the same order; best fit the smallest first, trees the cheapest: "
        "that alone places more."
    )
    return Finding(rows, note)


EXPERIMENTS = (
    Experiment(
        "memory-buddies",
        "Memory Buddies: more guests on as many hosts",
        "memory_buddies",
        f"{GUESTS} guests drawn by a law (vmdedup.place.synthetic) in place of laptops and servers traced in 2008, "
        f"which are not to be had. Hosts of {HOST_GIB} GiB, {100 * SHARE:.0f} % of those that blind placement needs "
        "for all. Fair as to what is compared; how much guests share is the law's, not theirs.",
        more_guests,
    ),
)
