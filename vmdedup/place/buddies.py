"""Memory Buddies' greedy consolidation: hosts are emptied, one by one, by guests moving to where they share most.

From where guests are now; those of which that is not said come one after the other, each to where it adds least. The
host that uses least is tried first: its guests, largest first, go each to the host with room on which they share most.
If all of them find room, they move, and the host is off; if not, all stay.
Source: Wood et al., Memory Buddies, VEE 2009 (abstract; the order is our reading).
"""

from __future__ import annotations

from copy import deepcopy

import numpy as np

from vmdedup.place.best_fit import put
from vmdedup.place.fleet import Fleet
from vmdedup.place.plan import Hosts, Plan, Room

NAME = "buddies"


def place(fleet: Fleet, room: Room) -> Plan:
    """Consolidate what is there; what is freed is for guests that had no room."""
    hosts = _now(fleet, room)
    _put_missing(hosts)
    kept: set[int] = set()
    while (tried := _least(hosts, kept)) is not None:
        if not _empty(hosts, tried):
            kept.add(tried)
    _put_missing(hosts)
    return hosts.plan(NAME)


def _put_missing(hosts: Hosts) -> None:
    """Guests that have no host, in the order given, to where they add least."""
    for guest in sorted(set(range(len(hosts.fleet))) - {guest for host in hosts.guests for guest in host}):
        put(hosts, guest)


def _now(fleet: Fleet, room: Room) -> Hosts:
    """The hosts as they are. A host that would be too full loses the guests that it cannot have."""
    hosts = Hosts(fleet, room)
    for name in dict.fromkeys(name for name in fleet.hosts if name):
        host = hosts.open()
        for guest, its in enumerate(fleet.hosts):
            if host is not None and its == name and hosts.fits(hosts.adds(guest))[host]:
                hosts.put(guest, host)
    return hosts


def _least(hosts: Hosts, kept: set[int]) -> int | None:
    """The host that uses least, of those with guests that were not tried in vain."""
    left = [host for host, guests in enumerate(hosts.guests) if guests and host not in kept]
    return min(left, key=lambda host: int(hosts.used[host]), default=None)


def _empty(hosts: Hosts, host: int) -> bool:
    """Move all guests of a host elsewhere. Returns whether that could be; if not, all are where they were."""
    before = deepcopy((hosts.guests, hosts.used))
    going = sorted(hosts.take(host), key=lambda guest: (-int(hosts.fleet.alone[guest]), guest))
    moved: list[tuple[int, int]] = []
    for guest in going:
        adds = hosts.adds(guest)
        free = [int(each) for each in np.flatnonzero(hosts.fits(adds)) if hosts.guests[each]]
        if not free:
            _undo(hosts, host, before[0], {to for _, to in moved})
            return False
        to = min(free, key=lambda each: int(adds[each]))
        hosts.put(guest, to)
        moved.append((guest, to))
    return True


def _undo(hosts: Hosts, host: int, guests: list[list[int]], touched: set[int]) -> None:
    for each in {host, *touched}:
        hosts.take(each)
        for guest in guests[each]:
            hosts.put(guest, each)
