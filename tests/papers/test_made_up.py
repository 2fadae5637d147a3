"""Experiments on results that are made up: each figure worked out by hand, and the verdict that it must get."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from kit.scripted_bench import ScriptedBench, made_result
from vmdedup.papers.bench.base import Finding
from vmdedup.papers.bench.published import published_figures
from vmdedup.papers.bench.verdict import (
    DIRECTION,
    DISAGREES,
    LEVEL,
    OWN_FAILS,
    OWN_HOLDS,
    PUT_IN,
    UNPUBLISHED,
    Judged,
    judge,
)
from vmdedup.papers.esx.esx_identical import MIB, identical
from vmdedup.papers.ksm.advisor import advisor
from vmdedup.papers.ksm.ksm_windows import windows
from vmdedup.papers.ksm.smart_scan import smart_scan
from vmdedup.papers.uksm.uksm_equal_cpu import equal_cpu
from vmdedup.papers.xlh.hints import pages_of
from vmdedup.papers.xlh.xlh_boot import boots
from vmdedup.papers.xlh.xlh_build import BUILDERS, _most
from vmdedup.result.run import Result

Data = Mapping[str, Any]


def judged(finding: Finding) -> dict[str, Judged]:
    return {row.rows[0].figure: row for row in judge([finding.rows])}


@pytest.mark.parametrize(("used", "said"), [(0.30, DIRECTION), (0.307, DIRECTION), (0.31, DISAGREES)])
def test_a_bound_is_no_level(used: float, said: str) -> None:
    """Of 8 guests of 8 MiB: 69.2 % is the least that the paper's must have saved."""
    bench = ScriptedBench(lambda data: made_result([{"allocated_pages": 16_384, "used_pages": 16_384 * used}]))
    (row,) = judged(windows(bench, published_figures("ksm_windows"))).values()
    assert row.ours == pytest.approx(100 * (1 - used))
    assert (row.verdict, row.document()["paper"]) == (said, None)


@pytest.mark.parametrize(
    ("common", "alone", "said"),
    [
        (50.0, 12.5, [DIRECTION, LEVEL, LEVEL, OWN_HOLDS, UNPUBLISHED]),
        (42.3, 10.0, [DIRECTION, LEVEL, LEVEL, OWN_HOLDS, UNPUBLISHED]),
        (42.1, 9.9, [DIRECTION, DISAGREES, DISAGREES, OWN_HOLDS, UNPUBLISHED]),
        (-5.0, 12.5, [DISAGREES, LEVEL, DISAGREES, OWN_HOLDS, UNPUBLISHED]),
    ],
)
def test_esx_s_law(common: float, alone: float, said: list[str]) -> None:
    """Guests that have so much in common give f and s back, and nothing is off the law."""

    def answer(data: Data) -> Result:
        count = data["guests"][0]["count"]
        share = common * (1 - 1 / count) + alone
        whole = share if data["policy"]["name"] == "esx" else share / 0.95
        return made_result([{"saved_pages": whole / 100 * count * MIB * 256}])

    found = judged(identical(ScriptedBench(answer), published_figures("esx_identical")))
    assert [row.verdict for row in found.values()] == said
    assert [row.ours for row in found.values()][1:] == pytest.approx([alone, common, 0.0, 95.0])


def test_esx_off_its_law() -> None:
    """Twice as much of two guests as the law says."""

    def answer(data: Data) -> Result:
        count = data["guests"][0]["count"]
        return made_result([{"saved_pages": {1: 0.1, 2: 0.5, 4: 0.4}[count] * count * MIB * 256}])

    found = judged(identical(ScriptedBench(answer), published_figures("esx_identical")))
    row = found["farthest from f (1 - 1/n) + s"]
    assert row.ours == pytest.approx(50 - (40 / 2 + 10))
    assert row.verdict == OWN_FAILS


@pytest.mark.parametrize(("ksm", "said"), [(530, LEVEL), (630, LEVEL), (642, DIRECTION), (1001, DISAGREES)])
def test_merges_of_booting_guests(ksm: int, said: str) -> None:
    def answer(data: Data) -> Result:
        merged = ksm if data["policy"]["tunables"].get("hint_runs") == 0 else 1000
        return made_result([{"found_by_hint": merged - 100.0, "found_by_scan": 100.0}])

    (row,) = judged(boots(ScriptedBench(answer), published_figures("xlh_boot"))).values()
    assert (row.ours, row.verdict) == (ksm / 10, said)


@pytest.mark.parametrize(
    ("smart", "saved", "said"),
    [(780, 110.0, (LEVEL, DIRECTION)), (720, 110.0, (DIRECTION, DIRECTION)), (1010, 99.0, (DISAGREES, DISAGREES))],
)
def test_smart_scan(smart: int, saved: float, said: tuple[str, str]) -> None:
    """1,000 pages a full scan without it: 780 are 22 % fewer, as the mail's 20 to 25; 28 % are a fifth and more off."""

    def answer(data: Data) -> Result:
        with_it = data["ksm"]["smart_scan"]
        records = {"pages_sharing": 27.0, "pages_shared": 1.0, "pages_unshared": 10.0, "pages_volatile": 62.0}
        scans = [{"full_scans": float(n), "pages_scanned": n * (smart if with_it else 1000.0)} for n in range(4)]
        return made_result(scans, saved_pages=saved if with_it else 100.0, general_profit=4096.0 * 20, **records)

    found = judged(smart_scan(ScriptedBench(answer), published_figures("smart_scan")))
    row, more = found["fewer pages a full scan"], found["saved on average, with to without"]
    assert [row.ours, more.ours] == pytest.approx([100 - smart / 10, saved / 100])
    assert (row.verdict, more.verdict) == said
    assert more.document()["paper"] is None, "the mail has no figure"
    records = [row for name, row in found.items() if name.startswith("KSM's records")]
    assert [row.verdict for row in records] == [PUT_IN] * 4


def test_the_advisor_is_held_against_the_most_that_it_comes_to() -> None:
    def answer(data: Data) -> Result:
        advised = "advisor_mode" in data["ksm"]
        steps = [40.0, 120.0, 60.0, 36.0] if advised else [120.0] * 4
        rows = [{"pages_to_scan": step, "full_scans": 1.0} for step in steps]
        return made_result(rows, ksmd_cpu_s=0.75 if advised else 1.0)

    bench = ScriptedBench(answer)
    found = judged(advisor(bench, published_figures("advisor")))
    assert bench.asked[1]["ksm"]["pages_to_scan"] == 120
    assert [found["CPU saved"].ours, found["pages_to_scan settled, of its most"].ours] == [25.0, 40.0]
    assert found["CPU saved"].verdict == LEVEL
    assert found["a full scan settled, of the target"].verdict == UNPUBLISHED


@pytest.mark.parametrize(("factor", "said"), [(12.6, LEVEL), (15.3, DIRECTION), (0.9, DISAGREES)])
def test_uksm_s_largest_factor_counts_once_ksm_has_saved_something(factor: float, said: str) -> None:
    def answer(data: Data) -> Result:
        times = factor if data["policy"]["name"] == "uksm" else 1.0
        return made_result([{"saved_pages": 50.0 if times == 1 else 5000.0}, {"saved_pages": 1000.0 * times}])

    found = judged(equal_cpu(ScriptedBench(answer), published_figures("uksm_static")))
    assert found["static: most"].ours == pytest.approx(factor)
    assert found["static: most"].verdict == said


def test_xlh_s_largest_factor_counts_once_ksm_has_what_the_papers_had() -> None:
    """75 of 1,024 MiB: before that any factor can be had."""
    enough = pages_of(BUILDERS) * 75 / 1024
    ksm = made_result([{"saved_pages": saved} for saved in (1.0, enough - 1, enough, 2 * enough)])
    xlh = made_result([{"saved_pages": saved} for saved in (900.0, 9 * enough, 3 * enough, 8 * enough)])
    assert _most(xlh, ksm) == 4.0
