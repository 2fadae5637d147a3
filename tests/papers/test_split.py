"""What a run saves by technique, and the claims that are made of it: on figures made up for the purpose."""

from __future__ import annotations

from typing import Any

import pytest

from vmdedup.papers.bench.base import Bench
from vmdedup.papers.bench.published import Published
from vmdedup.papers.bench.verdict import DISAGREES
from vmdedup.papers.difference_engine import de_ablations, de_alike, de_mixed2
from vmdedup.papers.difference_engine.loads import engine
from vmdedup.papers.difference_engine.split import mean_between, split
from vmdedup.result import columns
from vmdedup.result.run import Result
from vmdedup.result.tables import table

PAGES = 1000
SECONDS = 48  # of a quick run of MIXED-2, its beginning counted


def result(rows: list[dict[str, float]], **more: float) -> Result:
    """A run whose series has these rows, all else being zero."""
    blank = dict.fromkeys([*columns.SERIES, *columns.POLICY], 0)
    series = table([{**blank, "time_s": float(i), **row, **more} for i, row in enumerate(rows)], columns.SERIES)
    empty: Any = None
    return Result({}, series, empty, empty, empty)


def test_untouched_memory_is_shared_zero_pages_and_all_parts_are_all_that_is_saved() -> None:
    row = {
        "allocated_pages": 800,
        "zero_pages": 50,
        "within_guest_pages": 30,
        "between_guests_pages": 120,
        "patch_saved_pages": 60.5,
        "compress_saved_pages": 9.5,
        "used_pages": 530,
    }
    found = {name: values[0] for name, values in split(result([row]), PAGES).items()}
    assert found == {"shared": 40.0, "patched": 6.05, "compressed": 0.95, "saved": 47.0}
    assert found["saved"] == pytest.approx(found["shared"] + found["patched"] + found["compressed"])


def test_means_take_in_both_ends() -> None:
    assert mean_between([0, 1, 2, 3], [10.0, 2.0, 4.0, 70.0], 1, 2) == 3.0
    assert mean_between([0, 1, 2, 3], [10.0, 2.0, 4.0, 70.0], 3, 3) == 70.0


def test_the_engine_s_interval_and_bits_are_scaled_and_its_tunables_are_kept() -> None:
    tunables = {"scan_interval_millisecs": 500, "detector_bits": 14, "codec": 1}
    assert engine(0.0625, 0.125, codec=1) == {"name": "difference_engine", "tunables": tunables}


class Scripted(Bench):
    """A bench whose runs are answered from a script, by policy. asked: what was run."""

    def __init__(self, answers: dict[str, Result]) -> None:
        super().__init__(quick=True)
        object.__setattr__(self, "asked", [])
        object.__setattr__(self, "answers", answers)

    def run(self, data: Any) -> Result:
        """The script's answer."""
        policy = data["policy"]
        self.asked.append(data)  # type: ignore[attr-defined]
        changed = next((name for name in de_ablations.POLICIES if policy["tunables"].get(name)), policy["name"])
        return self.answers[changed]  # type: ignore[attr-defined,no-any-return]


def steady(saved: float, patched: float, **more: float) -> Result:
    """Rows of the same: per cent of the memory that a quick experiment of three guests has."""
    pages = 3 * 16 * 256
    row = {
        "allocated_pages": pages,
        "used_pages": pages * (1 - saved / 100),
        "patch_saved_pages": pages * patched / 100,
        "between_guests_pages": pages * (saved - patched) / 100,
        "compress_saved_pages": 0.0,
    }
    return result([row] * SECONDS, **more)


@pytest.mark.parametrize("holds", [True, False])
def test_ablations_are_judged_by_the_paper_s_words(holds: bool) -> None:
    """A gain in all, and more CPU when compression goes first, are not what the paper says."""
    bench = Scripted(
        {
            "difference_engine": steady(40, 10, ksmd_cpu_s=10.0, guests_cost_s=1.0),
            "everything_c4": steady(41 if holds else 45, 12 if holds else 9, ksmd_cpu_s=20.0, guests_cost_s=3.0),
            "compress_before_patch": steady(39 if holds else 40.5, 8, ksmd_cpu_s=9.0 if holds else 11.0),
        }
    )
    found = de_ablations.ablations(bench, Published.read("difference_engine_ablations"))
    assert {row.holds for row in found.rows} == {holds, None}
    assert [row.verdict for row in found.rows if row.holds is False] == [DISAGREES] * (0 if holds else 4)
    assert [row.ours for row in found.rows if row.figure.startswith("everything_c4")][2:] == [2.0, 3.0]


def test_mixed2_reads_each_phase_off_its_part_of_the_run() -> None:
    """SECONDS - 1 stand for 1,500: what changes at 550 and 1,250 of the paper's seconds is in one phase only."""
    rows = []
    for second in range(SECONDS):
        then = 1500 * second / (SECONDS - 1)
        saved = 40 if then < 550 else 50 if then < 1250 else 60
        rows.append({"allocated_pages": 12288, "used_pages": 12288 * (1 - saved / 100)})
    bench = Scripted({"difference_engine": result(rows), "esx": steady(20, 0)})
    found = de_mixed2.mixed2(bench, Published.read("difference_engine_mixed2"))
    ours = {row.figure: row.ours for row in found.rows}
    assert [ours[f"{phase}: saved"] for phase in ("first", "middle", "end")] == pytest.approx([40, 50, 60])


def test_the_papers_own_figures_fulfil_every_claim_made_of_them() -> None:
    rubis = Published.read("difference_engine_rubis").levels
    names = ("shared", "patched", "compressed", "saved")
    means = {n: {name: rubis[f"vms_{n}_{name}_percent"] for name in names} for n in (1, 2, 4, 6)}
    assert all(holds for n in means for _, holds in de_alike._claims(means, n, 0.0).values())
