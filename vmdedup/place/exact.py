"""The best plan there is, by an integer program: for small fleets only. The only importer of highspy.

    on[g, h]: guest g is on host h      uses[h]: host h is on      has[p, h]: host h has part p

As many guests as can be, then as few hosts, then as few pages. A host has a part if any of its guests has.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from vmdedup.errors import EnvironmentLacksError, UsageError
from vmdedup.place import best_fit
from vmdedup.place.fleet import Fleet
from vmdedup.place.plan import Plan, Room, plan_of

NAME = "exact"
MOST: Final = 50_000  # variables
SECONDS: Final = 120.0  # of searching


def place(fleet: Fleet, room: Room) -> Plan:
    """UsageError: the fleet is too large. EnvironmentLacksError: highspy is not installed."""
    highspy = _required()
    greedy = best_fit.place(fleet, room)
    most = room.hosts if greedy.placed < len(fleet) and room.hosts is not None else len(greedy.hosts)
    if (size := most * (len(fleet) + len(fleet.parts))) > MOST:
        raise UsageError(f"{NAME}: {size:,} variables are more than {MOST:,}; leave it out of --algorithm, or --sample")
    with _silent():
        solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("time_limit", SECONDS)
    solver.setOptionValue("mip_rel_gap", 0.0)
    solver.setOptionValue("mip_abs_gap", 0.5 / (_total(fleet) + 1))
    on = _program(solver, fleet, room, most)
    values = solver.getSolution().col_value
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return Plan(NAME, greedy.where, f"not found in {SECONDS:.0f} s; this is best fit's plan")
    hosts = [[guest for guest, row in enumerate(on) if values[row[host].index] > 0.5] for host in range(most)]
    return plan_of(NAME, len(fleet), hosts)


def _total(fleet: Fleet) -> int:
    return int(fleet.alone.sum())


def _program(solver: Any, fleet: Fleet, room: Room, most: int) -> list[list[Any]]:
    """State it and solve it. Returns on[g][h]."""
    guests, parts = range(len(fleet)), range(len(fleet.parts))
    on = [[solver.addBinary() for _ in range(most)] for _ in guests]
    uses = [solver.addBinary() for _ in range(most)]
    has = [[solver.addVariable(0, 1) for _ in range(most)] for _ in parts]
    for guest in guests:
        solver.addConstr(sum(on[guest]) <= 1)
    pages = []
    for host in range(most):
        own = sum(int(fleet.own[guest]) / room.pages * on[guest][host] for guest in guests)
        pages.append(own + sum(int(fleet.parts[part]) / room.pages * has[part][host] for part in parts))
        solver.addConstr(pages[host] <= uses[host])
        for guest in guests:
            solver.addConstr(on[guest][host] <= uses[host])
            for part in parts:
                if fleet.has[guest, part]:
                    solver.addConstr(has[part][host] >= on[guest][host])
        if host:
            solver.addConstr(uses[host - 1] >= uses[host])
    placed = sum(sum(row) for row in on)
    weight = room.pages / (_total(fleet) + 1)
    solver.minimize(-(most + 2) * placed + sum(uses) + weight * sum(pages))
    return on


@contextmanager
def _silent() -> Iterator[None]:
    """What is printed on stdout past us is lost: a new solver says whose it is before it can be told not to."""
    sys.stdout.flush()
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)


def _required() -> Any:
    try:
        import highspy
    except ImportError:
        raise EnvironmentLacksError("exact needs highspy; install it: pip install 'vmdedup[place]'") from None
    return highspy
