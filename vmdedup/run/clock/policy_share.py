"""A policy's share of virtual time, by the same schedule for all, or by the same CPU time for all.

    pages   batch of pages_to_scan, as long as it costs, and sleep_millisecs: what clock.share does for ksmd. With a
            page_cost all look at equally many pages a second, whatever a policy does with them
    cpu     clock.budget: small batches, and rests by what they cost

What it costs is what ksmd's counters tell if it is one, as without policies; else the policy's own bill (policy.work).
"""

from __future__ import annotations

from typing import Protocol

from vmdedup.run.clock.budget import CpuBudget
from vmdedup.run.clock.cost import LEAST, Cost
from vmdedup.run.clock.share import MILLISECOND
from vmdedup.scanner.protocol import Scanner


class Priced(Scanner, Protocol):
    """What a share needs of a policy."""

    @property
    def bill_ns(self) -> int:
        """CPU time that it has used by its price list, up to the end of the last batch."""

    @property
    def keeps_budget(self) -> bool:
        """Whether it looks at no more pages than it is given."""

    @property
    def is_steered(self) -> bool:
        """Whether a daemon beside it is to be told the time even while it does not scan."""


class PolicyShare:
    """Lets a policy scan as much as it may until a given time. cpu: what batches cost so far. Times in nanoseconds."""

    def __init__(self, policy: Priced, cost: Cost, share: float | None) -> None:
        self._policy = policy
        self._cost = cost
        self._budget = CpuBudget(share) if share is not None else None
        self._now = 0  # when the tick at hand began
        self._next = 0
        self._busy = 0  # until when the last batch takes; then it sleeps
        self.cpu = 0

    def scan_until(self, now: int) -> None:
        """Every batch that begins before `now`; one if the policy keeps to no budget: it has seen all then."""
        if self._policy.is_steered:
            self._tell()
        self._now = now
        while self._next < now:
            if self._policy.get("run") != 1:
                self._next = now
                return
            self._next += self._batch()
            if not self._policy.keeps_budget:
                self._next = now

    def _tell(self) -> None:
        """Have its controller look, if it is time. Another sleep_millisecs wakes a ksmd that sleeps, as in Linux."""
        slept = self._policy.get("sleep_millisecs")
        self._policy.charge(self._now // MILLISECOND, self.cpu // MILLISECOND)
        if self._policy.get("sleep_millisecs") != slept:
            self._next = min(self._next, max(self._busy, self._now))

    def _batch(self) -> int:
        """One batch. Returns how long after its beginning the next one begins."""
        self._policy.charge(self._next // MILLISECOND, self.cpu // MILLISECOND)
        looked = self._policy.scan(self._budget.pages() if self._budget else self._policy.get("pages_to_scan"))
        if self._budget is not None:
            before, self.cpu = self.cpu, self._policy.bill_ns
            return self._budget.interval(looked, self.cpu - before)
        cost = self._cost.of(looked)
        self.cpu += cost
        self._busy = self._next + max(cost, LEAST)
        return max(cost, LEAST) + self._policy.get("sleep_millisecs") * MILLISECOND
