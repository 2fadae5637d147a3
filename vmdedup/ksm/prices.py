"""What ksmd's work costs in CPU time: one price list, for whoever bills it.

    ns = sum of how often each operation was done (work.py) × its price

A list comes from `vmdedup calibrate` (live.prices.calibration), which measures the
kernel's ksmd on this host, or is BUILT_IN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from vmdedup.units import PAGE_SIZE

Prices = Mapping[str, float]

# Nanoseconds, on two cores of an AMD EPYC under Linux 6.18. visit and hash_byte are what `python -m benchmarks.ksmd`
# measured of the kernel's ksmd in its steady state and first pass (README.md); the others have the proportions that
# `vmdedup calibrate` found while that machine was busy, scaled to the merging pass of that benchmark.
BUILT_IN: Final[Prices] = {
    "batch": 40_000.0,  # waking up for a batch, and cold caches
    "visit": 417.0,  # a page that is merged already: its page table entry, its item
    "absent": 25.0,  # a place without a page, or with the zero page
    "skip": 290.0,  # a page that smart scan leaves out
    "hash_byte": 0.182,  # of a page that is not merged: read from memory and hashed; at the first look an item is made
    "stable_level": 150.0,  # a step down the stable tree, pages that differ in their first bytes
    "unstable_level": 310.0,  # a step down the unstable tree
    "compare_byte": 0.107,  # a byte that two pages have in common, in either tree
    "merge": 700.0,  # write-protecting a page, comparing it once more, replacing it
    "zero_merge": 1_300.0,  # the same, with the zero page
}


def bill_ns(done: Mapping[str, int], prices: Prices) -> int:
    """The bill, nanoseconds. KeyError: an operation that has no price."""
    return round(sum(prices[operation] * times for operation, times in done.items()))


class Tally(NamedTuple):
    """What the kernel's own counters say of pages with an item, so that a run on the kernel knows it too. Pages.

    settled: pages_shared + pages_sharing. unshared, volatile: as the kernel counts them. zero: ksm_zero_pages.
    """

    shared: int
    sharing: int
    unshared: int
    volatile: int
    zero: int

    @property
    def settled(self) -> int:
        """Pages that map a KSM frame."""
        return self.shared + self.sharing

    @property
    def items(self) -> int:
        """All that have been looked at before."""
        return self.settled + self.unshared + self.volatile


def batch_ns(pages: int, before: Tally, after: Tally, prices: Prices = BUILT_IN) -> int:
    """How long a batch takes, estimated from counters alone, which the emulated ksmd and the kernel's have alike.

    Pages looked at for the first time are hashed; of the others as many are merged already as there are among all, and
    the rest is hashed and looked up in both trees. Nanoseconds.
    """
    fresh = min(pages, max(0, after.items - before.items))
    joined, zeros = max(0, after.settled - before.settled), max(0, after.zero - before.zero)
    again = pages - fresh
    unknown = max(again - again * before.settled // max(1, before.items), min(again, joined + zeros))
    searched = max(0, unknown - zeros)
    return bill_ns(
        {
            "batch": 1,
            "visit": pages,
            "hash_byte": (fresh + unknown) * PAGE_SIZE,
            "stable_level": searched * _depth(after.shared),
            "unstable_level": searched * _depth(after.unshared),
            "merge": joined,
            "zero_merge": zeros,
        },
        prices,
    )


def _depth(nodes: int) -> int:
    """Steps down a balanced tree."""
    return nodes.bit_length()
