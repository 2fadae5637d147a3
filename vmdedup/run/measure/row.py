"""One row of the series: every counter at one moment."""

from __future__ import annotations

from typing import Any

from vmdedup.result.columns import SHOWN_KNOBS
from vmdedup.run.backend.base import Backend

Row = dict[str, Any]  # int, float or str; None where nobody can know


def sample(backend: Backend, seconds: float, guests: int, ksmd_cpu: float) -> Row:
    """A row for the series (result.columns). guests: how many are alive. ksmd_cpu: seconds so far."""
    figures = backend.figures()
    row: Row = {
        "time_s": seconds,
        "guests": guests,
        "allocated_pages": figures.allocated,
        "used_pages": figures.used,
        "saved_pages": figures.allocated - figures.used,
        "zero_pages": figures.zero,
        "within_guest_pages": figures.within,
        "between_guests_pages": figures.between,
        "possible_pages": figures.possible,
        "cow_breaks": figures.breaks,
        "ksmd_cpu_s": ksmd_cpu,
        **backend.ksmd.counters(),
        **{name: backend.ksmd.get(name) for name in SHOWN_KNOBS},
    }
    return {**row, **figures.forms}
