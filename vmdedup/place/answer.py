"""What `vmdedup place` answers: each plan with its hosts, what it promises, and what it takes to get there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from vmdedup.place.contents import sampling_error
from vmdedup.place.fleet import Fleet
from vmdedup.place.migration import moves
from vmdedup.place.plan import NOWHERE, Plan, Room, require_room
from vmdedup.place.table import START, algorithm
from vmdedup.units import PAGE_SIZE, mib

SCHEMA_VERSION: Final = 1
Say = Callable[[str], None]


def plans(fleet: Fleet, room: Room, names: Sequence[str], say: Say) -> tuple[list[Plan], list[float]]:
    """A plan by each algorithm, and how many seconds it took. UsageError: a guest is larger than any host."""
    require_room(fleet, room)
    made, seconds = [], []
    for name in names:
        say(name)
        began = time.monotonic()
        made.append(algorithm(name)(fleet, room))
        seconds.append(time.monotonic() - began)
    return made, seconds


def before(fleet: Fleet, room: Room) -> tuple[object, ...]:
    """Where guests are now; where that is not said of any, where first fit puts them."""
    if any(fleet.hosts):
        return tuple(host or NOWHERE for host in fleet.hosts)
    return algorithm(START)(fleet, room).where


def document(
    fleet: Fleet, room: Room, made: Sequence[Plan], seconds: Sequence[float], bytes_a_second: int
) -> dict[str, Any]:
    """All of it, as --json prints it."""
    start = before(fleet, room)
    return {
        "schema_version": SCHEMA_VERSION,
        "guests": len(fleet),
        "memory_mib": _mib(int(fleet.pages.sum())),
        "host_memory_mib": _mib(room.pages),
        "hosts": room.hosts,
        "hosts_without_sharing": _without_sharing(fleet, room),
        "one_content_of": fleet.times,
        "sampling_error": None if fleet.times == 1 else round(_error(fleet), 6),
        "moved_from": "where they are" if any(fleet.hosts) else START,
        "plans": [_plan(fleet, plan, start, bytes_a_second, took) for plan, took in zip(made, seconds, strict=True)],
    }


def _plan(fleet: Fleet, plan: Plan, start: Sequence[object], bytes_a_second: int, took: float) -> dict[str, Any]:
    going = moves(fleet, start, plan, bytes_a_second)
    hosts: list[dict[str, Any]] = [
        {
            "guests": [fleet.names[guest] for guest in guests],
            "memory_mib": _mib(int(fleet.pages[guests].sum())),
            "used_mib": _mib(fleet.used(guests)),
            "promised_mib": _mib(fleet.saved(guests)),
        }
        for guests in plan.hosts
    ]
    return {
        "algorithm": plan.algorithm,
        "note": plan.note,
        "placed": plan.placed,
        "hosts_needed": len(hosts),
        "memory_mib": sum(host["memory_mib"] for host in hosts),
        "promised_mib": sum(host["promised_mib"] for host in hosts),
        "between_guests_mib": _mib(sum(int(fleet.alone[host].sum()) - fleet.used(host) for host in plan.hosts)),
        "migrations": len(going.guests),
        "migrated_mib": _mib(going.pages),
        "migration_seconds": round(going.seconds, 3),
        "seconds": round(took, 3),
        "unplaced": [fleet.names[guest] for guest, host in enumerate(plan.where) if host == NOWHERE],
        "hosts": hosts,
    }


def _without_sharing(fleet: Fleet, room: Room) -> int:
    """Hosts that first fit, largest first, needs where no page is shared, not even inside a guest."""
    free: list[int] = []
    for pages in np.sort(fleet.pages)[::-1].tolist():
        host = next((host for host, left in enumerate(free) if left >= pages), None)
        if host is None:
            free.append(room.pages - pages)
        else:
            free[host] -= pages
    return len(free)


def _error(fleet: Fleet) -> float:
    """Of what the median guest takes: one standard deviation, as a share."""
    return sampling_error(int(np.median(fleet.alone)) // fleet.times)


def _mib(pages: int) -> float:
    return mib(pages * PAGE_SIZE)
