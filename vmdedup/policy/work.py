"""What a policy does, counted by operation, and what that costs in CPU time: a model, so that budgets can be equal.

Operations are counted by the policy; the price list says what one takes. Prices are nanoseconds on a machine of
today for what any policy does, and Difference Engine's own measurements for what only that does. They are the same for
all policies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

# A page that is looked at costs "visit"; hashing and comparing cost by bytes really read.
PRICES_NS: Final[Mapping[str, float]] = {
    "visit": 500.0,  # page table walk, record look-up: UKSM's first estimate of a page (uksm 0.1.2.6)
    "hash_byte": 0.1,  # XXH64 of memory that is not in a cache: 10 GB/s
    "compare_byte": 0.1,
    "merge": 6_200.0,  # share_page: gupta2008, Table 2
    "zero_merge": 6_200.0,
    "patch": 338_100.0,  # patch_page
    # Comparing two pages word by word and replacing a mapping, which is what share_page does; the bytes come on top.
    "word_patch": 6_200.0,
    "compress": 29_700.0,
    "swap_out": 48_900.0,  # without the disk
    "bring_back": 10_400.0,  # uncompress
    "hint": 20.0,
}
# What guests pay for sharing. Source: gupta2008, Table 2.
GUEST_PRICES_NS: Final[Mapping[str, float]] = {
    "cow_break": 25_100.0,
    "unpatch": 18_600.0,
    "uncompress": 10_400.0,
    "swap_in": 7_151_600.0,
}


class Work:
    """Operations by name, and their bill."""

    def __init__(self, prices: Mapping[str, float] = PRICES_NS) -> None:
        self.prices = dict(prices)
        self.done: Counter[str] = Counter()

    def count(self, operation: str, times: int = 1) -> None:
        """Note that an operation of the price list was done."""
        self.done[operation] += times

    def total_ns(self) -> int:
        """The bill so far, nanoseconds."""
        return round(sum(self.prices[operation] * times for operation, times in self.done.items()))
