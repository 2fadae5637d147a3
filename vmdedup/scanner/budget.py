"""A share of one core as a budget: how large a policy's next batch is, and how long after this one it begins.

   batch, cost c              rest
├───────────────┼───────────────────────────┼──── time
└───────────── c / share ───────────────────┘
"""

from __future__ import annotations

from typing import Final

from vmdedup.ksm.prices import BUILT_IN

_STEP: Final = 10_000_000  # ns from batch to batch that batches are sized for; also how often an idle one looks
_WAKES: Final = 10  # times that waking up for it takes: a batch is no shorter, or that would be what it is spent on
_LEAST: Final = 100_000  # ns between two batches
_MOST_PAGES: Final = 1 << 16
_FIRST_GUESS: Final = 2_000.0  # ns a page


class CpuBudget:
    """share: of one core, up to 1. wake: what waking up takes. Times in nanoseconds."""

    def __init__(self, share: float, wake: float = BUILT_IN["batch"]) -> None:
        self._share = share
        self._batch = max(_STEP * share, _WAKES * wake)
        self._price = _FIRST_GUESS  # of one page, as it was lately

    def pages(self) -> int:
        """How many pages the next batch may have."""
        return max(1, min(_MOST_PAGES, int(self._batch / self._price)))

    def interval(self, looked: int, cost: int) -> int:
        """How long after a batch of so many pages, at such a cost, began the next one begins."""
        if looked == 0:
            return max(_STEP, round(cost / self._share))
        self._price = (self._price + max(1.0, cost / looked)) / 2
        return max(_LEAST, round(cost / self._share))
