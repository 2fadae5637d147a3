"""Memory Buddies' greedy consolidation: hosts are emptied, one by one, by guests moving to where they share most.

From where guests are now (or where first fit puts them). The host that uses least is tried first: its guests, largest
first, go each to the host with room on which they share most. If all of them find room, they move, and the host is off;
if not, all stay. So it is fewer moves than a placement from nothing, and never more hosts than before.
Source: Wood et al., Memory Buddies, VEE 2009 (abstract; the order is our reading).
"""

from __future__ import annotations

from copy import deepcopy

import numpy as np

from vmdedup.place import first_fit
from vmdedup.place.best_fit import best_host
from vmdedup.place.fleet import Fleet
from vmdedup.place.plan import Hosts, Plan, Room

NAME = "buddies"


def place(fleet: Fleet, room: Room) -> Plan:
    """Consolidate what is there; guests that have no host yet go where they share most."""
    hosts = _now(fleet, room)
    for guest in sorted(set(range(len(fleet))) - {guest for host in hosts.guests for guest in host}):
        host = best_host(hosts, guest)
        host = hosts.open() if host is None else host
        if host is not None:
            hosts.put(guest, host)
    kept: set[int] = set()
    while (tried := _least(hosts, kept)) is not None:
        if not _empty(hosts, tried):
            kept.add(tried)
    return hosts.plan(NAME)


def _now(fleet: Fleet, room: Room) -> Hosts:
    """The hosts as they are. A host that would be too full loses the guests that it cannot have."""
    hosts = Hosts(fleet, room)
    if any(fleet.hosts):
        names = list(dict.fromkeys(name for name in fleet.hosts if name))
        lists = [[guest for guest, its in enumerate(fleet.hosts) if its == name] for name in names]
    else:
        lists = first_fit.place(fleet, room).hosts
    for guests in lists:
        host = hosts.open()
        for guest in guests if host is not None else ():
            if hosts.fits(hosts.adds(guest))[host]:
                hosts.put(guest, int(host or 0))
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
