"""How long a batch takes in virtual time.

FlatCost     a price a page, whatever was done with it
TalliedCost  ksmd's, by the counters that the kernel's has too: so a run on the kernel keeps step with the emulator
BilledCost   any policy's, by its own bill
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

from vmdedup.ksm.prices import Tally, batch_ns

if TYPE_CHECKING:
    from vmdedup.scanner.protocol import Scanner

LEAST: Final = 10_000  # ns: waking up for nothing; time must go on without a sleep, too


class Cost(Protocol):
    """Tells what batches take."""

    def of(self, pages: int) -> int:
        """Nanoseconds of CPU time of the batch that has just been done."""


class FlatCost:
    """page_cost: nanoseconds."""

    def __init__(self, page_cost: int) -> None:
        self._page_cost = page_cost

    def of(self, pages: int) -> int:
        """Each page costs the same."""
        return pages * self._page_cost


class TalliedCost:
    """By what counters say before and after a batch."""

    def __init__(self, ksmd: Scanner, prices: Mapping[str, float]) -> None:
        self._ksmd, self._prices = ksmd, prices
        self._before = Tally(0, 0, 0, 0, 0)

    def of(self, pages: int) -> int:
        """See ksm.prices.batch_ns."""
        before, tally = self._before, self._ksmd.tally()
        self._before = Tally(*tally) if tally is not None else before
        return batch_ns(pages, before, self._before, self._prices)


class BilledCost:
    """By what a policy's bill has grown."""

    def __init__(self, policy: Scanner) -> None:
        self._policy = policy
        self._before = 0

    def of(self, pages: int) -> int:
        """However many pages it looked at."""
        before, self._before = self._before, self._policy.bill_ns
        return self._before - before


def cost_of(scanner: Scanner, page_cost: int | None) -> Cost:
    """What its batches take. page_cost: nanoseconds a page, whatever is done with it; None: what it does tells."""
    if page_cost is not None:
        return FlatCost(page_cost)
    return TalliedCost(scanner, scanner.prices) if scanner.kind.is_tallied else BilledCost(scanner)
