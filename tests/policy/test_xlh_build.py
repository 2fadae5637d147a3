"""XLH against KSM with the same budget on guests that compile: what it is for. Source: Miller et al., ATC 2013."""

from __future__ import annotations

import polars as pl
import pytest

from kit.small_runs import run
from vmdedup.ksm.sysfs import COUNTERS
from vmdedup.result.run import Result

pytestmark = pytest.mark.compiled  # several guests at a time need atomic operations

BUILD = """\
name = "build"
duration = "7s"
seed = 1
[ksm]
run = 1
pages_to_scan = 200
page_cost = "10us"
[policy]
name = "POLICY"
TUNABLES
[[guests]]
name = "build"
count = 2
memory = "64MiB"
workload = "compile"
disk = { kind = "generated", mib = 64 }
kernel_mib = 16
aslr = "off"
boot = { processes = 24, cache_share = 0.35, heap_share = 0.18 }
[guests.heap]
zero_pages = 0.04
common = 0.25
zero_tail = 0.2
repeated = 0.0
pointers = 0.3
integers = 0.25
text = 0.3
freed = 0.08
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    chosen = {"ksm": ("ksm", ""), "xlh": ("xlh", ""), "no hints": ("xlh", "tunables.hint_runs = 0")}
    texts = {name: BUILD.replace("POLICY", policy).replace("TUNABLES", t) for name, (policy, t) in chosen.items()}
    return {name: run(tmp_path_factory.mktemp("build"), text) for name, text in texts.items()}


def _saved(result: Result) -> pl.Series:
    return result.series["saved_pages"]


def test_sharing_is_found_sooner(results: dict[str, Result]) -> None:
    """At each second at least as much is saved, in all half as much again, and no more pages are scanned for it."""
    ksm, xlh = results["ksm"], results["xlh"]
    assert (_saved(xlh) >= _saved(ksm)).all()
    ratio = float(_saved(xlh).to_numpy().sum() / _saved(ksm).to_numpy().sum())
    assert ratio > 1.5, f"saved page seconds, xlh to ksm: {ratio:.2f}"
    assert xlh.series["pages_scanned"][-1] <= ksm.series["pages_scanned"][-1] * 1.01


def test_a_hinted_page_waits_less_for_its_merge(results: dict[str, Result]) -> None:
    waits = {}
    for name in ("xlh", "no hints"):
        last = results[name].series.row(-1, named=True)
        assert last["found_hinted"] > 1000
        waits[name] = last["found_hinted_wait_ms"] / last["found_hinted"]
    assert waits["xlh"] < 0.7 * waits["no hints"]


def test_fewer_pages_are_visited_for_each_sharing(results: dict[str, Result]) -> None:
    """Pages that were hinted lead to more sharing than those of the linear scan do."""
    last = results["xlh"].series.row(-1, named=True)
    visits_for_hint = last["pages_hinted"] / last["found_by_hint"]
    visits_for_scan = (last["pages_scanned"] - last["pages_hinted"]) / last["found_by_scan"]
    assert visits_for_hint < 0.5 * visits_for_scan


def test_without_runs_for_hints_it_is_ksm(results: dict[str, Result]) -> None:
    same = ["saved_pages", "used_pages", *COUNTERS]
    assert results["no hints"].series.select(same).equals(results["ksm"].series.select(same))
