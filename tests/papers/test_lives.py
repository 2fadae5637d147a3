"""How long packed pages live: what is counted, what is cut short, and the shares that follow."""

from __future__ import annotations

import numpy as np
import pytest

from kit.engine_bench import EngineBench, noise, repeating
from vmdedup.papers.bench.runs import scenario
from vmdedup.papers.difference_engine.lives import Lives, estimated_within, share_within
from vmdedup.papers.difference_engine.loads import alike, scaled_rates, unlike
from vmdedup.papers.difference_engine.stage import TICK_MS, Stage


def test_lives_end_by_use_and_are_cut_short_by_everything_else() -> None:
    """Of six packed pages one is read at 1 s, one overwritten at 2 s, one discarded at 2 s; three are left at 5 s."""
    bench = EngineBench(repeating(6, 1), patching=0)
    bench.passes(8)
    assert bench.kinds() == [0, 6, 0]
    lives = Lives(bench.host)
    lives.begin(0)
    bench.guest.touch(np.array([0]))
    lives.end(1000)
    bench.guest.write_pages(np.array([1]), noise(1, 2))
    bench.guest.discard(np.array([2]))
    lives.end(2000)
    lives.begin(2000)
    lives.end(5000)
    assert sorted(lives.used().tolist()) == [1000, 2000]
    assert sorted(lives.unused(5000).tolist()) == [2000, 5000, 5000, 5000]


def test_a_page_that_is_packed_again_lives_again() -> None:
    bench = EngineBench(repeating(1, 1), patching=0)
    lives = Lives(bench.host)
    for turn in range(2):
        bench.passes(8)
        lives.begin(10_000 * turn)
        bench.guest.touch(np.array([0]))
        lives.end(10_000 * turn + 300 + turn)
    assert lives.used().tolist() == [300, 301]
    assert len(lives.unused(20_000)) == 0


def test_shares_within_a_time_count_the_time_itself() -> None:
    used = np.array([100, 100, 500, 2000])
    assert share_within(used, [99, 100, 1000, 2000]) == [0.0, 50.0, 75.0, 100.0]
    assert share_within(used[:0], [100]) == [0.0]


def test_the_estimate_is_kaplan_s_and_meier_s() -> None:
    """Times 1, 3, 3 and 5 with a use, 2 and 4 without: the textbook's products."""
    used, unused = np.array([3, 1, 5, 3]), np.array([4, 2])
    expected = [0.0, 1 / 6, 1 / 6, 1 - 5 / 6 * 2 / 4, 1 - 5 / 6 * 2 / 4, 1.0]
    found = estimated_within(used, unused, [0, 1, 2, 3, 4, 5])
    assert found == pytest.approx([100 * value for value in expected])


def test_nobody_cut_short_is_the_plain_share() -> None:
    used = np.random.default_rng(1).integers(1, 50, 300)
    times = list(range(0, 60, 7))
    assert estimated_within(used, used[:0], times) == pytest.approx(share_within(used, times))


def test_rates_are_scaled_and_shares_are_not() -> None:
    scaled = scaled_rates("database", 0.5)
    assert scaled == {"read_mib_s": 4.0, "heap_growth_mib_s": 0.1, "hot_mib_s": 2.0, "rows_s": 1000.0}
    assert [group["parameters"].get("starts_s") for group in unlike(slow=0.25)] == [None, 2.0, None]


@pytest.mark.compiled
def test_a_stage_runs_a_scenario_s_guests_under_its_policy() -> None:
    """Guests that are alike come to share, by the policy that the scenario names, with its tunables."""
    data = scenario("staged", 1, {"name": "difference_engine", "tunables": {"scan_interval_millisecs": 0}}, alike(2))
    with Stage(data) as stage:
        for _ in range(60):
            stage.live()
            stage.scan()
        assert stage.now_ms == 60 * TICK_MS
        assert stage.policy.get("scan_interval_millisecs") == 0
        assert stage.policy.counters()["pages_scanned"] == 60_000
        assert stage.policy.counters()["pages_sharing"] > 1000
        stage.policy.check()
