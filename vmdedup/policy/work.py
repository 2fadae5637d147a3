"""What a policy does, counted by operation, and what that costs in CPU time: a model, so that budgets can be equal.

Operations are counted by the policy. The price list says what one takes, the same for all policies, in one currency:
what ksmd was measured to take. What ksmd does too costs what it costs ksmd (ksm.prices); what only others do follows
from that (price_list), so a calibrated host has prices of its own for them, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from vmdedup.ksm.prices import BUILT_IN, Prices
from vmdedup.units import PAGE_SIZE

# What Difference Engine measured on its machine, of which only proportions are used. Source: gupta2008, Table 2.
SHARE_PAGE_NS: Final = 6_200.0  # comparing two pages and replacing a mapping: ksmd does that, too
_PAPER_NS: Final[Mapping[str, float]] = {
    "patch": 338_100.0,  # patch_page
    # Comparing two pages word by word and replacing a mapping, which is what share_page does; the bytes come on top.
    "word_patch": SHARE_PAGE_NS,
    "compress": 29_700.0,
    "swap_out": 48_900.0,  # without the disk
    "bring_back": 10_400.0,  # uncompress
}
# A step by hash reads an entry of an index. A step down ksmd's stable tree reads that, the record of the page's frame,
# and the page: three places in memory, none near another. So it is a third; docs/policies.md says what hangs on it.
_PLACES: Final = 3
LOOKUP: Final = 2  # steps by hash of a look into a hash table: where the chain begins, and what stands there
CACHE_LINE: Final = 64  # bytes; what is read of a page is read in lines


def price_list(ksmd: Prices) -> dict[str, float]:
    """Nanoseconds of every operation of every policy, by ksmd's prices.

    A page that is looked at costs "visit", a place without one "absent"; "merge" is for each page that gets a shared
    frame, that which gives its own included. Hashing and comparing cost by bytes read.
    """
    scale = (ksmd["merge"] + PAGE_SIZE * ksmd["compare_byte"]) / SHARE_PAGE_NS
    return {
        **ksmd,
        "hash_step": ksmd["stable_level"] / _PLACES,
        "hint": ksmd["absent"],  # a record read in order
        **{operation: nanoseconds * scale for operation, nanoseconds in _PAPER_NS.items()},
    }


PRICES_NS: Final[Mapping[str, float]] = price_list(BUILT_IN)
# What guests pay for sharing: another account, never added to a policy's. Source: gupta2008, Table 2.
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

    def count_visits(self, looked: int, absent: int) -> None:
        """Note that so many places were looked at, some of them without a page."""
        self.count("visit", looked - absent)
        self.count("absent", absent)
