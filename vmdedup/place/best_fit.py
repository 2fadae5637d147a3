"""Best fit by sharing: the largest guest first, each on the host to which it adds least, if there is room.

Where there are too few hosts for all guests, the smallest first, if more of them find room so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vmdedup.place.fleet import Fleet
from vmdedup.place.plan import Hosts, Plan, Room

NAME = "best-fit"


def place(fleet: Fleet, room: Room) -> Plan:
    """Of hosts to which it adds as much, the first."""
    largest = np.argsort(-fleet.alone, kind="stable").tolist()
    plan = _filled(fleet, room, largest)
    if plan.placed == len(fleet):
        return plan
    return max(plan, _filled(fleet, room, largest[::-1]), key=lambda each: each.placed)


def _filled(fleet: Fleet, room: Room, order: Sequence[int]) -> Plan:
    hosts = Hosts(fleet, room)
    for guest in order:
        put(hosts, guest)
    return hosts.plan(NAME)


def put(hosts: Hosts, guest: int) -> None:
    """A guest where it adds least, or on a host more; nowhere, if there is none."""
    host = best_host(hosts, guest)
    host = hosts.open() if host is None else host
    if host is not None:
        hosts.put(guest, host)


def best_host(hosts: Hosts, guest: int) -> int | None:
    """The host to which a guest adds least, of those with room; None: no host has room."""
    adds = hosts.adds(guest)
    free = np.flatnonzero(hosts.fits(adds))
    return int(free[adds[free].argmin()]) if len(free) else None
