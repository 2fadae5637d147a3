"""A scanner's share of virtual time: batch, sleep, batch, sleep, each batch as long as it costs.

       batch of pages_to_scan        sleep_millisecs
    ├───────────────────────────┼─────────────────────────┼──────────── virtual time
      its cost (scanner.cost)

With a budget of CPU: small batches, and rests by what they cost (scanner.budget). A batch that begins before the end of
a tick is done in it; what it takes beyond, the next tick pays.
Source: mm/ksm.c:ksm_scan_thread; its wake-ups at timer ticks are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vmdedup.late import load
from vmdedup.scanner.cost import LEAST, Cost

if TYPE_CHECKING:
    from vmdedup.scanner.budget import CpuBudget
    from vmdedup.scanner.protocol import Scanner

MILLISECOND: Final = 1_000_000
_BUDGET: Final = "vmdedup.scanner.budget:CpuBudget"


class Share:
    """Lets a scanner scan as much as it may until a given time. share: of a core; None: by its tunables.

    cpu: what batches cost so far. Times in nanoseconds.
    """

    def __init__(self, scanner: Scanner, cost: Cost, share: float | None = None) -> None:
        self._scanner = scanner
        self._cost = cost
        self._budget: CpuBudget | None = load(_BUDGET)(share) if share is not None else None
        self._now = 0  # when the tick at hand began
        self._next = 0
        self._busy = 0  # until when the last batch takes; then it sleeps
        self.cpu = 0

    def scan_until(self, now: int) -> None:
        """Every batch that begins before `now`; one if the scanner keeps to no budget: it has seen all then."""
        if self._scanner.kind.is_steered:
            self._tell()
        self._now = now
        while self._next < now:
            if self._scanner.get("run") != 1:
                self._next = now
                return
            self._next += self._batch()
            if not self._scanner.kind.keeps_budget:
                self._next = now

    def _tell(self) -> None:
        """Have its controller look, if it is time. Another sleep_millisecs wakes a ksmd that sleeps, as in Linux."""
        slept = self._scanner.get("sleep_millisecs")
        self._scanner.charge(self._now // MILLISECOND, self.cpu // MILLISECOND)
        if self._scanner.get("sleep_millisecs") != slept:
            self.wake()

    def wake(self) -> None:
        """Somebody has written sleep_millisecs: a ksmd that sleeps begins its next batch now."""
        self._next = min(self._next, max(self._busy, self._now))

    def _batch(self) -> int:
        """One batch. Returns how long after its beginning the next one begins."""
        self._scanner.charge(self._next // MILLISECOND, self.cpu // MILLISECOND)
        looked = self._scanner.scan(self._budget.pages() if self._budget else self._scanner.get("pages_to_scan"))
        if self._budget is not None:
            before, self.cpu = self.cpu, self._scanner.bill_ns
            return self._budget.interval(looked, self.cpu - before)
        cost = self._cost.of(looked)
        self.cpu += cost
        self._busy = self._next + max(cost, LEAST)
        return max(cost, LEAST) + self._scanner.get("sleep_millisecs") * MILLISECOND
