"""How long a batch takes in virtual time.

FlatCost     a price a page, whatever was done with it
TalliedCost  ksmd's, by the counters that the kernel's has too: so a run on the kernel keeps step with the emulator
BilledCost   any policy's, by its own bill
"""

from __future__ import annotations

from typing import Final, Protocol

from vmdedup.ksm.prices import Prices, Tally, batch_ns

LEAST: Final = 10_000  # ns: waking up for nothing; time must go on without a sleep, too


class Cost(Protocol):
    """Tells what batches take."""

    def of(self, pages: int) -> int:
        """Nanoseconds of CPU time of the batch that has just been done."""


class Tallied(Protocol):
    """A scanner whose counters tell what it does."""

    def tally(self) -> tuple[int, ...] | None:
        """After a batch: the fields of ksm.prices.Tally; None if it is no ksmd."""


class FlatCost:
    """page_cost: nanoseconds."""

    def __init__(self, page_cost: int) -> None:
        self._page_cost = page_cost

    def of(self, pages: int) -> int:
        """Each page costs the same."""
        return pages * self._page_cost


class TalliedCost:
    """By what counters say before and after a batch."""

    def __init__(self, ksmd: Tallied, prices: Prices) -> None:
        self._ksmd, self._prices = ksmd, prices
        self._before = Tally(0, 0, 0, 0, 0)

    def of(self, pages: int) -> int:
        """See ksm.prices.batch_ns."""
        before, tally = self._before, self._ksmd.tally()
        self._before = Tally(*tally) if tally is not None else before
        return batch_ns(pages, before, self._before, self._prices)


class Billed(Protocol):
    """A policy that has a bill."""

    @property
    def bill_ns(self) -> int:
        """What it has cost up to the end of the last batch."""


class BilledCost:
    """By what a policy's bill has grown."""

    def __init__(self, policy: Billed) -> None:
        self._policy = policy
        self._before = 0

    def of(self, pages: int) -> int:
        """However many pages it looked at."""
        before, self._before = self._before, self._policy.bill_ns
        return self._before - before
