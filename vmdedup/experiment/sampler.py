"""One row of the series: every counter at one moment."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from vmdedup.experiment.possible import possible_pages
from vmdedup.host import census
from vmdedup.host.memory import Host

Row = dict[str, int | float | str]

# Tunables that may change during a run by themselves, or that say how counters are to be read.
SHOWN_KNOBS = ("pages_to_scan", "sleep_millisecs", "use_zero_pages", "run")


class Counting(Protocol):
    """What is asked of a ksmd."""

    def counters(self) -> dict[str, int]:
        """The counters of /sys/kernel/mm/ksm by name."""

    def get(self, knob: str) -> int:
        """A tunable's value."""


def sample(host: Host, ksmd: Counting, seconds: float, guests: int, breaks: int, ksmd_cpu: float) -> Row:
    """A row for the series (result.columns).

    guests: how many are alive. breaks: copy-on-write breaks so far. ksmd_cpu: seconds so far.
    """
    allocated_by_guest, placed_by_guest = host.allocated()
    allocated, placed = int(allocated_by_guest.sum()), int(placed_by_guest.sum())
    zero, within, between = saved_pages(host)
    knobs = {name: ksmd.get(name) for name in SHOWN_KNOBS}
    used = host.frames_in_use()
    return {
        "time_s": seconds,
        "guests": guests,
        "allocated_pages": allocated,
        "used_pages": used,
        "saved_pages": allocated - used,
        "zero_pages": zero + placed,
        "within_guest_pages": within,
        "between_guests_pages": between,
        "possible_pages": possible_pages(host, allocated, placed, bool(knobs["use_zero_pages"])),
        "cow_breaks": breaks,
        "ksmd_cpu_s": ksmd_cpu,
        **ksmd.counters(),
        **knobs,
    }


def saved_pages(host: Host) -> tuple[int, int, int]:
    """Pages saved that are zero-filled (those that KSM placed left out), within one guest, between guests."""
    scratch = np.zeros((3, len(host.arrays.frames)), np.int32)
    totals = np.zeros(3, np.int64)
    census.share_totals(host.arrays, scratch[0], scratch[1], scratch[2], totals)
    return int(totals[0]), int(totals[1]), int(totals[2])


class BreakCounter:
    """Writes that found a merged page, or a zero page that KSM placed, and got a copy; the dead included.

    An address space's own count starts anew when its record is used again, so what was counted is kept here.
    """

    def __init__(self) -> None:
        self._seen = np.zeros(0, np.int64)
        self._gone = 0

    def total(self, host: Host) -> int:
        """The breaks since the run began."""
        now = host.arrays.mms["cow_ksm"] + host.arrays.mms["zero_cow"]
        before = self._seen if len(self._seen) else np.zeros_like(now)
        self._gone += int(before[now < before].sum())
        self._seen = now
        return self._gone + int(now.sum())
