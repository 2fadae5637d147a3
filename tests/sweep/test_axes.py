"""What --vary names, and which runs that makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.sweeps import tiny
from vmdedup.errors import UsageError
from vmdedup.sweep.axes import parse_axes
from vmdedup.sweep.grid import Grid, cells


def grid(folder: Path, *texts: str, seeds: int | None = None, sample: int | None = None) -> Grid:
    return Grid(tiny(folder), parse_axes(texts), seeds, sample)


def test_ranges_stand_for_their_numbers_and_means_have_semicolons_between() -> None:
    guests, scan, means = parse_axes(
        ["guests = 8..64:8", "pages_to_scan=5,10..12", "means=ksm; ksm:run=1,use_zero_pages=1"]
    )
    assert guests.values == ("8", "16", "24", "32", "40", "48", "56", "64")
    assert scan.values == ("5", "10", "11", "12")
    assert means.values == ("ksm", "ksm:run=1,use_zero_pages=1")
    assert (guests.kind, means.kind, parse_axes(["kernel=6.1,6.10"])[0].kind) == (int, str, str)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["pages_to_scan"], "is not NAME=VALUE"),
        (["pages_to_scann=1"], "did you mean 'pages_to_scan'"),
        (["guests=1", "guests=2"], "twice"),
        (["guests=1,2,1..2"], "'1' twice"),
        (["guests=1,,2"], "empty value"),
        (["guests=9..1"], "no range"),
        (["guests=1..9:0"], "no range"),
    ],
)
def test_what_is_no_axis_is_refused(texts: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_axes(texts)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["pages_to_scan=100,x"], r"^--vary pages_to_scan=x: pages_to_scan refuses 'x'"),
        (["guests=2,0"], "^--vary guests=0: a run needs a guest"),
        (["guests=2,many"], "^--vary guests=many: 'many' is no number of guests"),
        (["policy=ksm,uxm"], "^--vary policy=uxm: unknown policy"),
        (["uksm.x=1"], "no run has the policy 'uksm'"),
        (["policy=uksm", "uksm.x=1"], "^--vary policy=uksm --vary uksm.x=1: unknown tunable of uksm"),
        (["means=ksm; speed"], "^--vary means=speed: 'speed' is no alternative"),
        (["pages_to_scan=1..99999"], "too many"),
    ],
)
def test_a_value_that_will_not_do_is_found_before_any_run(texts: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        grid(tmp_path, *texts)


def test_the_grid_goes_slowest_by_the_first_axis_and_fastest_by_seeds(tmp_path: Path) -> None:
    made = grid(tmp_path, "guests=1,2", "pages_to_scan=5,9", seeds=2)
    assert [tuple(cells(task, made.axes).values()) for task in made.tasks] == [
        (number, guests, pages, seed)
        for number, (guests, pages, seed) in enumerate(
            (guests, pages, seed) for guests in (1, 2) for pages in (5, 9) for seed in (1, 2)
        )
    ]
    scenario = made.load(made.tasks[-1])
    assert (scenario.guests[0].count, scenario.ksm.tunables()["pages_to_scan"], scenario.seed) == (2, "9", 2)


def test_a_policy_s_tunable_varies_for_its_runs_alone(tmp_path: Path) -> None:
    made = grid(tmp_path, "policy=ksm,uksm", "uksm.cpu_governor=0,3")
    found = [tuple(task.values.values()) for task in made.tasks]
    assert found == [("ksm", None), ("uksm", "0"), ("uksm", "3")]
    assert made.load(made.tasks[2]).policy.tunables == {"cpu_governor": "3"}
    assert {made.load(task).policy.costs for task in made.tasks} == {"operations"}  # billed alike


def test_seeds_may_be_an_axis_and_means_go_with_others(tmp_path: Path) -> None:
    made = grid(tmp_path, "seed=7,9", "means=none; zram")
    assert [(task.values["means"], task.seed) for task in made.tasks] == [
        ("none", 7), ("none", 9), ("zram", 7), ("zram", 9),
    ]  # fmt: skip
    swap = made.load(made.tasks[2]).host.swap
    assert swap is not None
    assert swap.kind == "zram"
    with pytest.raises(UsageError, match="do not go together"):
        grid(tmp_path, "seed=7", seeds=2)


def test_a_sample_is_part_of_the_grid_and_the_same_each_time(tmp_path: Path) -> None:
    texts = ("guests=1..40", "pages_to_scan=1..40", "policy=ksm,uksm")
    whole = {tuple(task.values.values()) for task in grid(tmp_path, *texts).tasks}
    one, two = (grid(tmp_path, *texts, sample=20, seeds=2) for _ in range(2))
    chosen = [tuple(task.values.values()) for task in one.tasks]
    assert chosen == [tuple(task.values.values()) for task in two.tasks]
    assert len(one.tasks) == 40
    assert len(set(chosen)) == 20
    assert set(chosen) <= whole
    huge = grid(tmp_path, "guests=1..900", "pages_to_scan=1..900", sample=15)  # more than are ever made
    assert len(huge.tasks) == 15
    assert len({task.values["guests"] for task in huge.tasks}) > 5
