"""A scanner's share of virtual time, against one that only counts."""

from __future__ import annotations

import pytest

from kit.scanners import Counting
from vmdedup.ksm.prices import BUILT_IN, Tally, batch_ns
from vmdedup.policy.ksm import Ksm
from vmdedup.scanner.cost import FlatCost, TalliedCost
from vmdedup.scanner.share import MILLISECOND, Share

US = 1000


def test_as_many_batches_as_fit_into_the_time() -> None:
    ksmd = Counting()
    share = Share(ksmd, FlatCost(50 * US))
    share.scan_until(1000 * MILLISECOND)
    assert ksmd.batches == [100] * 40
    assert share.cpu == 40 * 5 * MILLISECOND
    assert ksmd.charged[:3] == [(0, 0), (25, 5), (50, 10)]


@pytest.mark.parametrize("tick", [1, 7, 10, 100, 1000])
def test_how_time_is_cut_does_not_matter(tick: int) -> None:
    ksmd = Counting(pages_to_scan=3000)
    share = Share(ksmd, FlatCost(50 * US))
    for now in range(tick, 7000 + 1, tick):
        share.scan_until(now * MILLISECOND)
    assert share.cpu == 42 * 150 * MILLISECOND
    assert len(ksmd.batches) == 42


def test_a_batch_longer_than_a_tick_is_paid_off() -> None:
    ksmd = Counting(pages_to_scan=10_000, sleep_millisecs=0)
    share = Share(ksmd, FlatCost(50 * US))
    for now in range(100, 1001, 100):
        share.scan_until(now * MILLISECOND)
    assert len(ksmd.batches) == 2


@pytest.mark.parametrize("knobs", [{"pages_to_scan": 0}, {"sleep_millisecs": 0}])
def test_time_goes_on_with_empty_batches_and_without_sleep(knobs: dict[str, int]) -> None:
    ksmd = Counting(limit=0, **knobs)
    share = Share(ksmd, FlatCost(10 * US))
    share.scan_until(10 * MILLISECOND)
    assert share.cpu == 0
    assert len(ksmd.batches) == (1000 if "sleep_millisecs" in knobs else 1)


@pytest.mark.parametrize("run", [0, 2])
def test_a_stopped_ksmd_scans_nothing_and_catches_up_on_nothing(run: int) -> None:
    ksmd = Counting(run=run)
    share = Share(ksmd, FlatCost(10 * US))
    share.scan_until(1000 * MILLISECOND)
    assert ksmd.batches == []
    ksmd.knobs["run"] = 1
    share.scan_until(1010 * MILLISECOND)
    assert ksmd.batches == [100]


class Steered(Counting):
    """One whose tunables somebody else changes meanwhile."""

    kind = type("SteeredKsm", (Ksm,), {"is_steered": True})


def test_who_steers_is_told_the_time_and_what_was_used_before_each_tick() -> None:
    ksmd = Steered()
    share = Share(ksmd, FlatCost(50 * US))
    for now in (10, 30, 40):
        share.scan_until(now * MILLISECOND)
    told, batches = (0, 0), (0, 0)
    assert ksmd.charged == [told, batches, (10, 5), (25, 5), (30, 10)]


class Tallying(Counting):
    """All its pages are looked at for the first time in the first batch, and are merged in the second."""

    def tally(self) -> Tally:
        return (Tally(0, 0, 0, 100, 0), Tally(25, 75, 0, 0, 0))[min(len(self.batches), 2) - 1]


PRICES = dict.fromkeys(BUILT_IN, 0.0) | {"batch": 1000.0, "visit": 10.0, "hash_byte": 1.0, "merge": 200.0}


def test_a_batch_takes_what_its_counters_tell() -> None:
    """1 µs and 100 × 10 ns, and hashing; merging as well; then nothing but visits."""
    share = Share(ksmd := Tallying(sleep_millisecs=0), TalliedCost(ksmd, PRICES))
    looked, hashed, merged = 2_000, 100 * 4096, 100 * 200
    share.scan_until(1)
    assert share.cpu == looked + hashed
    share.scan_until(looked + hashed + 1)
    assert share.cpu == 2 * (looked + hashed) + merged
    share.scan_until(share.cpu + 1)
    assert share.cpu == 3 * looked + 2 * hashed + merged


def test_what_is_searched_for_pays_for_each_step_down_the_trees() -> None:
    prices = PRICES | {"hash_byte": 0.0, "stable_level": 3.0, "unstable_level": 5.0}
    before = Tally(shared=4, sharing=46, unshared=50, volatile=0, zero=0)
    # Half of all pages are merged; of the others each takes 3 steps among 4 KSM pages, 6 among 50 that wait.
    assert batch_ns(100, before, before, prices) == 2_000 + 50 * (3 * 3 + 6 * 5)
    assert batch_ns(0, before, before, prices) == 1_000
