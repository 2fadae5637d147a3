"""vmdedup tune: the search by a stand-in for runs, its answers, bad input, and one search end to end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from kit.sweeps import tiny
from vmdedup.cli import run_command
from vmdedup.errors import EnvironmentLacksError, UsageError, VmdedupError
from vmdedup.result.sweep import row_of
from vmdedup.scenario.load import load_scenario
from vmdedup.tune import search as engine
from vmdedup.tune.answer import MARGIN, answer, best_of, front_of
from vmdedup.tune.course import search
from vmdedup.tune.files import contents
from vmdedup.tune.goal import Goal, parse_goal, parse_limits
from vmdedup.tune.knobs import changed, in_force, parse_knobs, todays
from vmdedup.tune.runs import Runs

KNOBS = parse_knobs("pages_to_scan,smart_scan")
TODAY = {"pages_to_scan": "100", "smart_scan": "1"}
GOAL = Goal(90, 10 * 10**9)


def stand_in(number: int, settings: Mapping[str, str]) -> dict[str, Any]:
    """A run as arithmetic: what is saved grows with pages_to_scan up to all, CPU too; smart_scan halves CPU."""
    pages = int(settings["pages_to_scan"])
    share = min(100.0, pages / 20)
    figures = {
        "seconds": 10.0,
        "saved_mib": share,
        "possible_mib": 100.0,
        "saved_percent_of_possible": share,
        "seconds_to_90_percent": 18_000 / pages if share >= 90 else None,
        "cpu_seconds": pages / 10_000 * (1 if settings["smart_scan"] == "1" else 2),
    }
    return row_of({"run": number, **settings, "seed": 1}, {"ended": "complete", "reason": None, **figures})


def make(first: int, asked: Sequence[Mapping[str, str]]) -> list[Mapping[str, Any]]:
    return [stand_in(number, settings) for number, settings in enumerate(asked, first)]


def found(seed: int = 1, goal: Goal | None = GOAL, trials: int = 40) -> list[Mapping[str, Any]]:
    tries = engine.Search(KNOBS, TODAY, goal, {}, seed)
    return list(search(make, tries, TODAY, trials, goal, {}))


def test_the_search_comes_near_what_is_best() -> None:
    rows = found()
    best = best_of(rows, GOAL, {})
    assert best is not None
    assert best["smart_scan"] == "1"
    assert 1800 <= int(best["pages_to_scan"]) <= 2700  # 1800 is the least that reaches the goal, of 10 to 100000


def test_it_begins_with_today_and_ends_with_each_knob_put_back() -> None:
    rows = found()
    assert {name: rows[0][name] for name in TODAY} == TODAY
    said = answer(rows, TODAY, GOAL, {})
    assert said["best"]["changed"] == ["pages_to_scan"]
    assert said["knobs"].keys() == {"pages_to_scan"}
    assert said["knobs"]["pages_to_scan"]["saved_percent_of_possible"] == 5 - said["best"]["saved_percent_of_possible"]
    assert len(rows) == 41


def test_a_seed_says_what_is_tried() -> None:
    assert found(3, trials=12) == found(3, trials=12)
    assert found(3, trials=12) != found(4, trials=12)


def test_a_simpler_run_is_within_the_margin_and_changes_less() -> None:
    runs = [("100", "1"), ("1800", "0"), ("2000", "1"), ("5000", "1")]
    rows = [stand_in(at, dict(zip(TODAY, run, strict=True))) for at, run in enumerate(runs)]
    rows[1]["cpu_seconds"] = 0.19  # the best, with two knobs changed
    said = answer(rows, TODAY, GOAL, {})
    assert said["best"]["run"] == 1
    assert [one["run"] for one in said["simpler"]] == [2]
    assert said["simpler"][0]["ksmd_percent"] <= said["best"]["ksmd_percent"] * (1 + MARGIN / 100)


def test_a_limit_that_no_run_keeps_is_said() -> None:
    rows = [stand_in(at, {**TODAY, "pages_to_scan": pages}) for at, pages in enumerate(("100", "1800"))]
    assert answer(rows, TODAY, GOAL, {})["reached"] is True
    said = answer(rows, TODAY, GOAL, {"ksmd": 1.5})
    assert said["reached"] is False
    assert said["best"]["run"] == 1


def test_the_front_is_what_no_run_beats() -> None:
    pairs = [("100", "1"), ("100", "0"), ("1800", "1"), ("1800", "0"), ("9000", "1"), ("2000", "1"), ("100", "1")]
    rows = [stand_in(at, dict(zip(TODAY, pair, strict=True))) for at, pair in enumerate(pairs)]
    assert {row["run"] for row in front_of(rows)} == {0, 2, 4, 5}
    assert len(found(goal=None, trials=8)) == 8


def test_runs_that_fail_are_no_answer() -> None:
    failed = row_of({"run": 0, **TODAY, "seed": 1}, {"ended": "failed", "reason": "no room"})
    assert answer([failed], TODAY, GOAL, {})["best"] is None
    good = stand_in(1, {**TODAY, "pages_to_scan": "1900"})
    assert answer([failed, good], TODAY, GOAL, {})["best"]["run"] == 1


def test_guests_with_nothing_alike_are_refused() -> None:
    def nothing(first: int, asked: Sequence[Mapping[str, str]]) -> list[Mapping[str, Any]]:
        return [{**row, "possible_mib": 0.0} for row in make(first, asked)]

    with pytest.raises(VmdedupError, match="no two pages"):
        list(search(nothing, engine.Search(KNOBS, TODAY, GOAL, {}, 1), TODAY, 8, GOAL, {}))


def test_who_else_steers_is_one_change() -> None:
    assert changed({"policy": "mom", "pages_to_scan": "7"}, {"policy": "ksm", "pages_to_scan": "100"}) == ["policy"]
    assert in_force({"policy": "mom", "pages_to_scan": "7"}) == {"policy": "mom"}
    assert in_force({"policy": "ksm", "pages_to_scan": "7"}) == {"policy": "ksm", "pages_to_scan": "7"}


def test_files_say_the_settings() -> None:
    files = contents({"pages_to_scan": "700", "sleep_millisecs": "15", "policy": "ksm"}, 7)
    assert "echo 700 > /sys/kernel/mm/ksm/pages_to_scan\n" in files["ksm.sh"]
    assert files["ksm.sh"].endswith("echo 1 > /sys/kernel/mm/ksm/run\n")
    assert "w /sys/kernel/mm/ksm/sleep_millisecs - - - - 15\n" in files["ksm-tmpfiles.conf"]
    assert "KSM_NPAGES_MIN=700\nKSM_NPAGES_MAX=700\nKSM_SLEEP_MSEC=15\n" in files["ksmtuned.conf"]
    assert "virsh node-memory-tune --shm-pages-to-scan 700 --shm-sleep-millisecs 15\n" in files["virsh.sh"]
    with pytest.raises(UsageError, match="mom as it ships"):
        contents({"policy": "mom"}, 1)


def test_today_is_the_scenario_and_else_linux(tmp_path: Path) -> None:
    knobs = parse_knobs("pages_to_scan,sleep_millisecs,smart_scan,advisor,policy")
    said = {"pages_to_scan": "1000", "sleep_millisecs": "20", "smart_scan": "1", "advisor_mode": "none"}
    assert todays(load_scenario(tiny(tmp_path)), knobs) == said | {"policy": "ksm"}


def test_what_is_interrupted_says_what_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(self: Runs, places: Any, done: Any, keep: Any, first: int, asked: Any) -> list[Mapping[str, Any]]:
        if first:
            raise KeyboardInterrupt
        rows = make(first, asked)
        for row in rows:
            keep(row)
        return rows

    monkeypatch.setattr(Runs, "make", stopped)
    words = ["--goal", "90% of possible in 10s", "--over", "pages_to_scan,smart_scan", "--keep", str(tmp_path / "out")]
    assert run_command(["tune", tiny(tmp_path), *words, "--json"]) == 130
    told = capsys.readouterr()
    assert len(json.loads(told.out)["rows"]) == 4
    assert "interrupted; 4 runs are in" in told.err


def test_a_file_of_somebody_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ksm.sh").write_text("mine")
    words = ["--goal", "90% of possible in 10s", "--write", str(tmp_path)]
    assert run_command(["tune", tiny(tmp_path), *words]) == 2
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "ksm.sh").read_text() == "mine"


def test_goals_and_limits() -> None:
    assert parse_goal("90% of possible in 1min") == Goal(90, 60 * 10**9)
    assert parse_limits(["ksmd=10%"]) == {"ksmd": 10}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--goal", "fast"), "is no goal"),
        (("--goal", "101% of possible in 5s"), "cannot be reached"),
        (("--goal", "90% of possible in 0s"), "no time"),
        (("--max", "ksmd=0%"), "more than 0 per cent"),
        (("--max", "kmsd=1%"), "no limit is called"),
        (("--over", "page_to_scan"), "did you mean"),
        (("--over", "policy,controllers"), "twice"),
        (("--trials", "0"), "at least 1"),
        (("--write", "x"), "needs --goal"),
    ],
)
def test_bad_input_is_one_line(
    more: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["tune", tiny(tmp_path), *more]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


def test_without_optuna_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(EnvironmentLacksError, match=r"pip install 'vmdedup\[tune\]'"):
        engine.Search(KNOBS, TODAY, GOAL, {}, 1)


@pytest.mark.compiled
def test_a_search_end_to_end_and_again_from_what_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["tune", tiny(tmp_path), "--goal", "50% of possible in 1s", "--over", "pages_to_scan", "--trials", "3"]
    words += ["--seed", "1", "--jobs", "1", "--keep", str(tmp_path / "out"), "-q", "--json"]
    status = run_command([*words, "--write", str(tmp_path / "set")])
    first = json.loads(capsys.readouterr().out)
    assert status == (0 if first["reached"] else 1)
    numbers = {row["run"]: row for row in first["rows"]}
    assert numbers[first["best"]["run"]]["saved_mib"] == first["best"]["saved_mib"] > 0
    assert (tmp_path / "set" / "ksm.sh").exists() is first["reached"]
    assert run_command(words) == status
    assert json.loads(capsys.readouterr().out) == first
