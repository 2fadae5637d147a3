"""vmdedup run --policy A,B and vmdedup policy, from the outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kit.small_runs import SMALL, write
from vmdedup.cli import run_command
from vmdedup.policy.table import POLICIES
from vmdedup.report.console import console
from vmdedup.report.summary import render
from vmdedup.result.opening import open_result
from vmdedup.result.policies import side_by_side
from vmdedup.result.run import Result
from vmdedup.result.tables import to_parquet

pytestmark = pytest.mark.compiled

OWN = Path(__file__).parent.parent / "own_policies"
EXAMPLES = Path(__file__).parent.parent.parent / "docs" / "examples"
PATIENT = str(EXAMPLES / "patient.py")
DEADLINE_S = 60.0


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """The JSON document of a command that succeeds."""
    assert run_command([*arguments, "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 1
    return document


# Several policies on one scenario


def test_several_policies_lie_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    arguments = ["run", str(write(tmp_path)), "--policy", f"none,ksm,ideal,{PATIENT}", "--output", str(out)]
    document = answer(capsys, *arguments, "--policy-set", "patient.patience=2", "--policy-set", "ksm.smart_scan=0")
    assert json.loads((out / "policies.json").read_text()) == document
    assert document["ended"] == "complete"
    assert [policy["policy"] for policy in document["policies"]] == document["wanted"]
    none, ksm, ideal, patient = document["policies"]
    assert none["saved_mib"] == none["mean_saved_mib"] == none["cpu_seconds"] == 0
    assert none["cpu_seconds_per_saved_mib"] is None
    for policy in (patient, ksm):
        assert 0 < policy["mean_saved_mib"] <= ideal["mean_saved_mib"] < ideal["saved_mib"]
    assert ideal["saved_percent_of_possible"] == 100
    assert none["seconds_to_percent_of_possible"]["50"] is None
    assert patient["name"] == PATIENT
    parts = [open_result(out / label) for label in document["wanted"]]
    assert parts[1].run["scenario"]["policy"]["tunables"] == {"smart_scan": "0"}
    for column in ("time_s", "allocated_pages", "guests"):  # guests live the same life
        for part in parts[1:]:
            assert part.series[column].to_list() == parts[0].series[column].to_list()
    assert run_command(["compare", str(out / "ksm"), str(out / "ideal")]) == 0


def test_the_table_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    arguments = ["run", str(write(tmp_path)), "--policy", "ksm,ideal", "--budget", "cpu=2%", "--output", str(out)]
    assert run_command(arguments) == 0
    shown, said = capsys.readouterr()
    assert "small: 2 of 2 policies, lockstep clock, seed 1, budget cpu=2%" in shown
    rows = [line.split() for line in shown.splitlines() if line.startswith(("ksm", "ideal"))]
    assert [row[0] for row in rows] == ["ksm", "ideal"] * 2
    saved = open_result(out / "ideal").summary["saved_mib"]
    assert float(rows[1][1]) == pytest.approx(saved, abs=0.05)
    assert "by patching" not in shown
    assert f"results: {out}" in said


def test_one_policy_is_an_ordinary_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write(tmp_path))
    assert run_command(["run", path, "--policy", "ksm", "--quiet", "--output", str(tmp_path / "named")]) == 0
    assert run_command(["run", path, "--quiet", "--output", str(tmp_path / "plain")]) == 0
    named, plain = open_result(tmp_path / "named"), open_result(tmp_path / "plain")
    for table in ("series", "guests", "matrix"):
        assert to_parquet(getattr(named, table)) == to_parquet(getattr(plain, table))
    assert named.summary == plain.summary
    assert "under patient" not in capsys.readouterr().out
    arguments = ["--policy", PATIENT, "--policy-set", "patience=7", "--output", str(tmp_path / "own")]
    summary = answer(capsys, "run", path, *arguments)
    assert summary["policy"] == "patient"
    render(summary, console(no_color=True, to_stdout=True))
    out = capsys.readouterr().out
    assert "lockstep clock, seed 1, under patient" in out
    assert "CPU s of patient (modelled, by built-in prices, which follow ksmd's" in " ".join(out.split())
    assert summary["forms"]["shared_saved_mib"] == pytest.approx(summary["saved_mib"], abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--policy", "ksm,"], "--policy 'ksm,' has an empty name; write for example"),
        (["--policy", "ksm,ksm"], "--policy names ksm twice; leave one out"),
        (["--policy", "ksm,nobody"], "--policy nobody: unknown policy 'nobody'; known are"),
        (["--policy", "ksm,ideal", "--policy-set", "patience=3"], "write NAME.KNOB=VALUE, the name one of the"),
        (["--policy", "ksm,ideal", "--policy-set", "esx.rate=3"], "the name one of the policies (ksm, ideal)"),
        (["--policy", "ksm,ideal", "--policy-set", "ideal.rate=3"], "unknown tunable of ideal; known are"),
        (["--policy-set", "ksm.run"], "--policy-set 'run' is not KNOB=VALUE; write for example"),
        (["--budget", "cpu"], "--budget cpu: a budget of CPU is a share of one core; add"),
        (["--budget", "cpu=2"], "--budget cpu=2"),
        (["--budget", "time"], "--budget time: 'time' will not do; give 'pages' or 'cpu'"),
    ],
)
def test_wrong_flags_are_told_before_anything_runs(
    arguments: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["run", str(write(tmp_path)), *arguments, "--output", str(tmp_path / "out")]) == 2
    out, err = capsys.readouterr()
    assert complaint in err
    assert len(err.splitlines()) == 1
    assert not out
    assert not (tmp_path / "out").exists()


def test_ctrl_c_keeps_what_is_done(tmp_path: Path) -> None:
    """The first policy is done, the second under way, the third not begun."""
    out = tmp_path / "out"
    path = write(tmp_path, SMALL.replace("3s", "40s"))
    slow = tmp_path / "slow.py"  # never ends by itself: each scan takes a while
    text = (EXAMPLES / "patient.py").read_text().replace("class Patient", "import time\n\n\nclass Slow")
    slow.write_text(text.replace("looked = 0\n", "looked = 0\n        time.sleep(0.05)\n"))
    command = [sys.executable, "-m", "vmdedup", "run", str(path), "--output", str(out)]
    command += ["--policy", f"none,{slow},ideal"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + DEADLINE_S
    while not (out / "policies.json").exists() or len(children(process.pid)) < 5:
        assert time.monotonic() < deadline, "the first policy is not done in time"
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    shown, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130, err
    assert f"interrupted; the results so far are in {out}" in err
    document = json.loads((out / "policies.json").read_text())
    assert document["ended"] == "interrupted"
    assert document["policies"][0]["ended"] == "complete"
    assert "none" in shown
    assert sorted(entry.name for entry in out.iterdir()) in (
        ["none", "policies.json", "slow"],
        ["none", "policies.json"],  # it came before the second had a row to keep
    )


def children(pid: int) -> list[int]:
    """Every living process below pid."""
    found: list[int] = []
    for task in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = task.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z" and int(fields[1]) in (pid, *found):
            found.append(int(task.parent.name))
    return found


def test_the_mean_is_over_time() -> None:
    rows = {"time_s": [0.0, 1.0, 3.0], "saved_pages": [0, 256, 256], "possible_pages": [512] * 3}
    rows |= {"allocated_pages": [512] * 3, "used_pages": [512, 256, 256]}
    run = {"page_size": 4096, "name": "x", "seed": 1, "clock": "lockstep", "ended": "complete", "events": []}
    empty = pl.DataFrame()
    result = Result({**run, "scenario": {}}, pl.DataFrame(rows), empty, empty, empty)
    policy = side_by_side({"a": result}, ["a", "b"], "pages")["policies"][0]
    assert policy["mean_saved_mib"] == pytest.approx((0.5 + 2) / 3, abs=0.001)
    assert policy["mean_saved_percent"] == pytest.approx(100 * (128 + 512) / 1536, abs=0.01)
    assert policy["patch_saved_mib"] is None


# vmdedup policy


def test_policies_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["policy", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(POLICIES)
    listed = answer(capsys, "policy", "list")["policies"]
    for policy in listed:
        shown = answer(capsys, "policy", "show", policy["name"])
        assert {key: shown[key] for key in policy} == policy
        assert shown["source"]
        for tunable in shown["tunables"]:
            assert set(tunable) == {"name", "default", "unit", "meaning"}
            assert tunable["meaning"]
    assert run_command(["policy", "show", PATIENT]) == 0
    assert "patience" in capsys.readouterr().out
    assert run_command(["policy", "show", "nobody"]) == 2
    assert "there is no policy 'nobody'" in capsys.readouterr().err


def test_ones_own_policy_is_tried(capsys: pytest.CaptureFixture[str]) -> None:
    document = answer(capsys, "policy", "check", PATIENT)
    assert document["passed"] is True
    assert {rule["failure"] for rule in document["rules"]} == {None}
    assert run_command(["policy", "check", str(OWN / "vandal.py")]) == 1
    out = capsys.readouterr().out
    assert "FAIL  what guests read never changes\n" in out
    assert "pages do not hold what their guests stored" in out
    assert "asked for 0 pages, it says that it looked at 1" in out
    assert "pass  counters and tunables are there" in out


def test_a_policy_that_breaks_down_fails_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text((EXAMPLES / "patient.py").read_text().replace("looked = 0\n", "looked = 1 // 0\n"))
    assert run_command(["policy", "check", str(broken)]) == 1
    assert "ZeroDivisionError: integer division or modulo by zero" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("self._scanned += looked", "self._scanned += looked + 1", "it looks at no more pages"),
        ("self.host.release(mm)", "self._where[-1] = mm", "a guest can leave, and another can come"),
        ("pages - looked", "max(1, pages - looked)", None),
        ("before == digest", "__import__('random').random() < 0.5", "the same seed does the same"),
        ('            "full_scans": self._walk.rounds,\n', "", "counters and tunables are there"),
    ],
)
def test_each_rule_can_fail(
    old: str, new: str, rule: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (EXAMPLES / "patient.py").read_text()
    assert old in text
    (tmp_path / "own.py").write_text(text.replace(old, new))
    assert run_command(["policy", "check", str(tmp_path / "own.py")]) == int(rule is not None)
    failed = [line[6:] for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL")]
    assert all(line.startswith(rule or "-") for line in failed)


def test_help_loads_nothing_heavy() -> None:
    """As the architecture's tests have it for other commands."""
    code = "from vmdedup.cli import run_command; run_command(['policy', '--help'])"
    code += "\nimport sys\nprint('LOADED', *sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert not {"numba", "numpy", "polars"} & set(done.stdout.rpartition("LOADED")[2].split())
