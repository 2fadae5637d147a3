"""One price for one ksmd: under a run, under its policy, under the advisor; this host's prices are its bill alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars
import pytest

from kit.small_runs import SMALL, run
from vmdedup.errors import ScenarioError, UsageError
from vmdedup.ksm.host_prices import VARIABLE
from vmdedup.ksm.prices import BUILT_IN
from vmdedup.policy.work import PRICES_NS
from vmdedup.result.run import Result
from vmdedup.result.tables import records
from vmdedup.scenario.overrides import Overrides

pytestmark = pytest.mark.compiled  # several guests at a time need atomic operations

NOT_KSMS = {"storage_frames", "reference_frames", "held_frames"}  # columns of policies


def rows(result: Result, without: set[str]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in without} for row in records(result.series)]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return run(tmp_path_factory.mktemp("plain"), SMALL)


@pytest.fixture
def doubled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host on which everything takes twice as long."""
    prices = {name: 2 * price for name, price in BUILT_IN.items()}
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({"schema_version": 1, "prices_ns": prices}))
    path.chmod(0o644)
    monkeypatch.setenv(VARIABLE, str(path))


def test_ksm_as_a_policy_scans_and_costs_exactly_the_same(plain: Result, tmp_path: Path) -> None:
    policy = run(tmp_path, SMALL, Overrides(policy="ksm", costs="operations"))
    ours, theirs = records(plain.series), records(policy.series)
    both = set(ours[0]) & set(theirs[0])
    assert {"ksmd_cpu_s", "pages_scanned", "pages_sharing", "full_scans"} <= both
    assert [{k: row[k] for k in both} for row in ours] == [{k: row[k] for k in both} for row in theirs]
    assert ours[-1]["ksmd_cpu_s"] > 0
    assert plain.summary["ksmd_cpu_prices"] == policy.summary["ksmd_cpu_prices"] == "built-in"


def test_the_advisor_sees_the_same_bill_under_both(tmp_path: Path) -> None:
    text = SMALL.replace("[ksm]", '[ksm]\nadvisor_mode = "scan-time"\nadvisor_target_scan_time = 1', 1)
    text = "\n".join(line for line in text.splitlines() if not line.startswith("pages_to_scan"))
    ours = run(tmp_path, text)
    theirs = run(tmp_path, text, Overrides(policy="ksm", costs="operations"))
    for column in ("pages_to_scan", "pages_scanned", "ksmd_cpu_s"):
        assert ours.series[column].to_list() == theirs.series[column].to_list()


@pytest.mark.usefixtures("doubled")
def test_a_hosts_prices_are_its_bill_and_change_nothing_else(plain: Result, tmp_path: Path) -> None:
    result = run(tmp_path, SMALL)
    assert rows(result, {"ksmd_cpu_s"}) == rows(plain, {"ksmd_cpu_s"})
    expected = (2 * plain.series["ksmd_cpu_s"]).to_list()
    assert result.series["ksmd_cpu_s"].to_list() == pytest.approx(expected, abs=1e-8)
    assert result.run["prices"]["source"] == result.summary["ksmd_cpu_prices"] == "host"
    assert result.run["prices"]["operation_ns"]["visit"] == 2 * BUILT_IN["visit"]


@pytest.mark.usefixtures("doubled")
def test_virtual_time_goes_by_a_hosts_prices_if_asked_for(plain: Result, tmp_path: Path) -> None:
    scanned = [
        int(run(tmp_path, SMALL, Overrides(prices=prices)).series["pages_scanned"][-1])
        for prices in ("built-in", "host")
    ]
    assert scanned[0] == plain.series["pages_scanned"][-1]
    assert scanned[1] < scanned[0]
    assert run(tmp_path, SMALL, Overrides(prices="built-in")).summary["ksmd_cpu_prices"] == "built-in"


@pytest.mark.usefixtures("doubled")
def test_a_flat_price_stays_flat(tmp_path: Path) -> None:
    result = run(tmp_path, SMALL.replace("[ksm]", '[ksm]\npage_cost = "3us"', 1))
    cpu = result.series.select(polars.col("pages_scanned") * 3e-6).to_series().to_list()
    assert result.series["ksmd_cpu_s"].to_list() == pytest.approx(cpu)
    assert result.run["prices"] == {"source": "page_cost", "page_ns": 3000}


def test_a_host_that_was_not_calibrated_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="this host was not calibrated; run `vmdedup calibrate` as root"):
        run(tmp_path, SMALL, Overrides(prices="host"))


def test_costs_by_page_cost_need_one(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"policy.costs: \[ksm\] has no page_cost; give one there"):
        run(tmp_path, SMALL + '\n[policy]\nname = "ksm"\ncosts = "page_cost"\n')


def test_all_policies_pay_ksmds_prices_for_what_ksmd_does_too() -> None:
    assert PRICES_NS.items() >= BUILT_IN.items()


@pytest.mark.usefixtures("doubled")
def test_a_hosts_prices_are_the_bill_of_every_policy(tmp_path: Path) -> None:
    either = [Overrides(policy="uksm", costs="operations", prices=prices) for prices in (None, "built-in")]
    here, built_in = (run(tmp_path, SMALL, overrides) for overrides in either)
    assert rows(here, {"ksmd_cpu_s"}) == rows(built_in, {"ksmd_cpu_s"})
    expected = (2 * built_in.series["ksmd_cpu_s"]).to_list()
    assert here.series["ksmd_cpu_s"].to_list() == pytest.approx(expected, abs=1e-8)
    assert here.run["prices"]["operation_ns"] == pytest.approx({name: 2 * ns for name, ns in PRICES_NS.items()})
