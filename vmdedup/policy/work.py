"""What a policy does, counted by operation, and what that costs in CPU time: a model, so that budgets can be equal.

Operations are counted by the policy; the price list says what one takes, the same for all policies. What ksmd does too
costs here what it costs ksmd (ksm.prices); prices of what only others do are Difference Engine's own measurements.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from vmdedup.ksm.prices import BUILT_IN

# A page that is looked at costs "visit"; hashing and comparing cost by bytes really read. Nanoseconds.
OTHERS_NS: Final[Mapping[str, float]] = {
    "patch": 338_100.0,  # patch_page
    # Comparing two pages word by word and replacing a mapping, which is what share_page does; the bytes come on top.
    "word_patch": 6_200.0,  # share_page: gupta2008, Table 2
    "compress": 29_700.0,
    "swap_out": 48_900.0,  # without the disk
    "bring_back": 10_400.0,  # uncompress
    "hint": 20.0,
}
PRICES_NS: Final[Mapping[str, float]] = {**BUILT_IN, **OTHERS_NS}
# What guests pay for sharing. Source: gupta2008, Table 2.
GUEST_PRICES_NS: Final[Mapping[str, float]] = {
    "cow_break": 25_100.0,
    "unpatch": 18_600.0,
    "uncompress": 10_400.0,
    "swap_in": 7_151_600.0,
}


class Work:
    """Operations by name, and what each costs."""

    def __init__(self, prices: Mapping[str, float] = PRICES_NS) -> None:
        self.prices = dict(prices)
        self.done: Counter[str] = Counter()

    def count(self, operation: str, times: int = 1) -> None:
        """Note that an operation of the price list was done."""
        self.done[operation] += times
