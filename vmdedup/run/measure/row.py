"""One row of the series: every counter at one moment."""

from __future__ import annotations

from typing import Any

from vmdedup.result.columns import SHOWN_KNOBS
from vmdedup.run.measure.host import Host

Row = dict[str, Any]  # int, float or str; None where nobody can know


def sample(host: Host, seconds: float, ksmd_cpu: float) -> Row:
    """A row for the series (result.columns). ksmd_cpu: seconds so far."""
    counters = host.ksmd.counters()
    knobs = {name: host.ksmd.get(name) for name in SHOWN_KNOBS}
    figures = host.figures()
    row: Row = {
        "time_s": seconds,
        "guests": host.present,
        "allocated_pages": figures.allocated,
        "used_pages": figures.used,
        "saved_pages": figures.allocated - figures.used,
        "zero_pages": figures.zero,
        "within_guest_pages": figures.within,
        "between_guests_pages": figures.between,
        "possible_pages": figures.possible,
        "cow_breaks": figures.breaks,
        "ksmd_cpu_s": ksmd_cpu,
        **counters,
        **knobs,
    }
    return {**row, **figures.further}
