"""A share of a core, and what batches cost: figures by hand."""

from __future__ import annotations

import pytest

from kit.scanners import Counting
from vmdedup.ksm.prices import Tally
from vmdedup.policy.ideal import Ideal
from vmdedup.policy.ksm import Ksm
from vmdedup.policy.uksm.policy import Uksm
from vmdedup.scanner.budget import CpuBudget
from vmdedup.scanner.cost import BilledCost, FlatCost, TalliedCost, cost_of
from vmdedup.scanner.share import MILLISECOND, Share


@pytest.mark.parametrize(
    ("share", "wake", "pages"),
    [
        (0.5, 0, 2_500),  # 10 ms from batch to batch: 5 ms of work, at 2 µs a page
        (1.0, 0, 5_000),
        (0.01, 40_000, 200),  # 0.1 ms would be mostly waking up: ten times what that takes
        (1e-9, 0, 1),
    ],
)
def test_the_first_batch_is_guessed(share: float, wake: float, pages: int) -> None:
    assert CpuBudget(share, wake).pages() == pages


def test_batches_follow_what_pages_cost_half_way_each_time() -> None:
    budget = CpuBudget(0.5, 0)
    assert budget.interval(100, 400_000) == 800_000
    assert budget.pages() == int(5_000_000 / 3_000)  # between the 2,000 it took a page for, and 4,000
    assert budget.interval(1000, 1_000_000) == 2_000_000
    assert budget.pages() == int(5_000_000 / 2_000)
    for _ in range(60):
        budget.interval(1000, 0)
    assert budget.pages() == 1 << 16, "the most, however cheap pages are"


@pytest.mark.parametrize(
    ("looked", "cost", "interval"),
    [
        (10, 100, 100_000),  # no two batches are nearer
        (10, 80_000, 160_000),
        (0, 100, 10_000_000),  # nothing to look at: it looks again in 10 ms
        (0, 8_000_000, 16_000_000),
    ],
)
def test_how_long_after_a_batch_the_next_one_begins(looked: int, cost: int, interval: int) -> None:
    budget = CpuBudget(0.5, 0)
    assert budget.interval(looked, cost) == interval
    assert (budget.pages() == 2_500) == (looked == 0), "what looked at nothing tells no price"


def test_whose_batches_take_what() -> None:
    scanner = Counting()
    assert isinstance(cost_of(scanner, 0), FlatCost)
    assert isinstance(cost_of(scanner, None), TalliedCost)
    assert (Ksm.is_tallied, Uksm.is_tallied) == (True, False)
    scanner.kind = Uksm
    assert isinstance(cost_of(scanner, None), BilledCost)
    assert cost_of(scanner, 7).of(6) == 42


def test_a_policy_s_batch_takes_what_its_bill_has_grown() -> None:
    scanner = Counting()
    cost = BilledCost(scanner)
    taken = []
    for scanner.bill_ns in (10, 10, 35):
        taken.append(cost.of(99))
    assert taken == [10, 0, 25]


def test_one_whose_counters_are_gone_is_taken_to_have_found_nothing() -> None:
    class Gone(Counting):
        said: Tally | None = Tally(0, 0, 100, 0, 0)

        def tally(self) -> Tally | None:
            return self.said

    scanner = Gone()
    cost = TalliedCost(scanner, dict.fromkeys(("batch", "stable_level", "unstable_level"), 0.0) | PRICES)
    first = cost.of(100)
    scanner.said = None
    assert (first, cost.of(100)) == (100 * (1 + 4096), 100 * (1 + 4096))


PRICES = {"visit": 1.0, "hash_byte": 1.0, "merge": 0.0, "zero_merge": 0.0}


class Working(Counting):
    """A page takes 2 µs, by its bill."""

    def scan(self, pages: int) -> int:
        """One batch."""
        looked = super().scan(pages)
        self.bill_ns += 2_000 * looked
        return looked


def test_a_share_of_virtual_time_is_kept() -> None:
    scanner = Working()
    share = Share(scanner, BilledCost(scanner), 0.1)
    share.scan_until(100 * MILLISECOND)
    assert scanner.batches == [500] * 10
    assert share.cpu == 10 * MILLISECOND
    assert scanner.charged[:3] == [(0, 0), (10, 1), (20, 2)]


def test_one_that_sees_all_has_one_batch_a_tick() -> None:
    scanner = Counting()
    scanner.kind = Ideal
    share = Share(scanner, FlatCost(10))
    for now in (10, 20, 30):
        share.scan_until(now * MILLISECOND)
    assert scanner.batches == [100] * 3
