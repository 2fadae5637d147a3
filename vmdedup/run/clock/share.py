"""ksmd's share of virtual time: batch, sleep, batch, sleep, each batch as long as it costs.

       batch of pages_to_scan        sleep_millisecs
    ├───────────────────────────┼─────────────────────────┼──────────── virtual time
      its cost (clock.cost)

A batch that begins before the end of a tick is done in it; what it takes beyond, the next tick pays.
Source: mm/ksm.c:ksm_scan_thread; its wake-ups at timer ticks are left out.
"""

from __future__ import annotations

from typing import Protocol

from vmdedup.run.clock.cost import LEAST, Cost

MILLISECOND = 1_000_000


class Scanner(Protocol):
    """What a share needs of a ksmd."""

    def get(self, knob: str) -> int:
        """A tunable's value."""

    def scan(self, pages: int) -> int:
        """One batch; returns the pages scanned."""

    def charge(self, now_ms: int, cpu_ms: int) -> None:
        """Its clock, and the CPU time that it has had; the advisor looks at both."""


class KsmdShare:
    """Lets a ksmd scan as much as it would until a given time. cpu: what batches cost so far. Times in nanoseconds."""

    def __init__(self, ksmd: Scanner, cost: Cost) -> None:
        self._ksmd = ksmd
        self._cost = cost
        self._next = 0
        self.cpu = 0

    def scan_until(self, now: int) -> None:
        """Every batch that begins before `now`."""
        while self._next < now:
            if self._ksmd.get("run") != 1:
                self._next = now
                return
            self._batch()

    def _batch(self) -> None:
        self._ksmd.charge(self._next // MILLISECOND, self.cpu // MILLISECOND)
        pages = self._ksmd.scan(self._ksmd.get("pages_to_scan"))
        cost = self._cost.of(pages)
        self.cpu += cost
        self._next += max(cost, LEAST) + self._ksmd.get("sleep_millisecs") * MILLISECOND
