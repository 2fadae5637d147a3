"""Best fit by sharing: the largest guest first, each on the host to which it adds least, if there is room."""

from __future__ import annotations

import numpy as np

from vmdedup.place.fleet import Fleet
from vmdedup.place.plan import Hosts, Plan, Room

NAME = "best-fit"


def place(fleet: Fleet, room: Room) -> Plan:
    """Of hosts to which it adds as much, the first."""
    hosts = Hosts(fleet, room)
    for guest in np.argsort(-fleet.alone, kind="stable").tolist():
        host = best_host(hosts, guest)
        host = hosts.open() if host is None else host
        if host is not None:
            hosts.put(guest, host)
    return hosts.plan(NAME)


def best_host(hosts: Hosts, guest: int) -> int | None:
    """The host to which a guest adds least, of those with room; None: no host has room."""
    adds = hosts.adds(guest)
    free = np.flatnonzero(hosts.fits(adds))
    return int(free[adds[free].argmin()]) if len(free) else None
