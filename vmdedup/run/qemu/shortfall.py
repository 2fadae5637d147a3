"""What real guests were asked to do and did not: a slow machine's do less a second than their scenario says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vmdedup.guest.workloads import workload_parameters
from vmdedup.live.provision.plan import PROGRAMS, GuestPlan, RunPlan
from vmdedup.result.did import Measured

_ENOUGH = 0.9  # of what was asked


def shortfalls(plan: RunPlan, measured: Measured) -> list[str]:
    """A line for each guest that did less than nine tenths of what it was asked, with the remedy behind the last."""
    lines = [line for guest in plan.guests if (line := _of(guest, measured))]
    if lines:
        lines.append("emulated guests do as much with: vmdedup run SCENARIO --as-measured RUN; or ask for less")
    return lines


def _of(guest: GuestPlan, measured: Measured) -> str:
    did = measured.guests.get(guest.name)
    short = list(_short(guest, did.parameters)) if did is not None else []
    return f"{guest.name} did {', '.join(short)}" if short else ""


def _short(guest: GuestPlan, did: Mapping[str, float]) -> Iterator[str]:
    declared = workload_parameters(guest.workload)
    for name, value in did.items():
        if name in PROGRAMS[guest.workload]:
            asked = float(guest.parameters.get(name, declared[name].default))
            if value < _ENOUGH * asked:
                yield f"{name} = {value:g} of {asked:g}"
