"""ksmd's share of virtual time, against a ksmd that only counts."""

from __future__ import annotations

import pytest

from vmdedup.experiment.clock.share import MILLISECOND, KsmdShare

US = 1000


class Counting:
    """Scans whatever it is asked to, up to `limit` pages a batch."""

    def __init__(self, limit: int = 1 << 30, **knobs: int) -> None:
        self.knobs = {"run": 1, "pages_to_scan": 100, "sleep_millisecs": 20} | knobs
        self.limit = limit
        self.batches: list[int] = []
        self.charged: list[tuple[int, int]] = []

    def get(self, knob: str) -> int:
        return self.knobs[knob]

    def scan(self, pages: int) -> int:
        self.batches.append(min(pages, self.limit))
        return self.batches[-1]

    def charge(self, now_ms: int, cpu_ms: int) -> None:
        self.charged.append((now_ms, cpu_ms))


def test_as_many_batches_as_fit_into_the_time() -> None:
    ksmd = Counting()
    share = KsmdShare(ksmd, page_cost=50 * US)
    share.scan_until(1000 * MILLISECOND)
    assert ksmd.batches == [100] * 40
    assert share.cpu == 40 * 5 * MILLISECOND
    assert ksmd.charged[:3] == [(0, 0), (25, 5), (50, 10)]


@pytest.mark.parametrize("tick", [1, 7, 10, 100, 1000])
def test_how_time_is_cut_does_not_matter(tick: int) -> None:
    ksmd = Counting(pages_to_scan=3000)
    share = KsmdShare(ksmd, page_cost=50 * US)
    for now in range(tick, 7000 + 1, tick):
        share.scan_until(now * MILLISECOND)
    assert share.cpu == 42 * 150 * MILLISECOND
    assert len(ksmd.batches) == 42


def test_a_batch_longer_than_a_tick_is_paid_off() -> None:
    ksmd = Counting(pages_to_scan=10_000, sleep_millisecs=0)
    share = KsmdShare(ksmd, page_cost=50 * US)
    for now in range(100, 1001, 100):
        share.scan_until(now * MILLISECOND)
    assert len(ksmd.batches) == 2


@pytest.mark.parametrize("knobs", [{"pages_to_scan": 0}, {"sleep_millisecs": 0}])
def test_time_goes_on_with_empty_batches_and_without_sleep(knobs: dict[str, int]) -> None:
    ksmd = Counting(limit=0, **knobs)
    share = KsmdShare(ksmd, page_cost=10 * US)
    share.scan_until(10 * MILLISECOND)
    assert share.cpu == 0
    assert len(ksmd.batches) == (1000 if "sleep_millisecs" in knobs else 1)


@pytest.mark.parametrize("run", [0, 2])
def test_a_stopped_ksmd_scans_nothing_and_catches_up_on_nothing(run: int) -> None:
    ksmd = Counting(run=run)
    share = KsmdShare(ksmd, page_cost=10 * US)
    share.scan_until(1000 * MILLISECOND)
    assert ksmd.batches == []
    ksmd.knobs["run"] = 1
    share.scan_until(1010 * MILLISECOND)
    assert ksmd.batches == [100]
