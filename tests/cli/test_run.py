"""vmdedup run, as its users meet it: what goes to stdout and stderr, exit status, results, refusals."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

import vmdedup
from kit.small_runs import SMALL, write
from vmdedup.cli import run_command

ONE = ("--guests", "1")  # one guest at a time can also be run without atomic operations
REQUIRED = {
    "allocated_mib",
    "used_mib",
    "saved_mib",
    "saved_percent",
    "zero_mib",
    "within_guest_mib",
    "between_guests_mib",
    "possible_mib",
    "pages_scanned",
    "ksmd_cpu_seconds",
    "cow_breaks",
    "general_profit",
    "guests",
}


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "vmdedup", *arguments], capture_output=True, text=True, check=False)


def test_json_is_one_document_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run_command(["run", str(write(tmp_path)), *ONE, "--json", "--output", str(out)]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert REQUIRED.issubset(document)
    assert len(document["guests"]) == 1
    assert document["saved_mib"] > 0
    assert captured.out == (out / "summary.json").read_text()
    assert captured.err == f"results: {out}\n"
    assert sorted(path.name for path in out.iterdir()) == [
        "guests.parquet",
        "matrix.parquet",
        "run.json",
        "series.parquet",
        "summary.json",
        "timing.parquet",
    ]


def test_the_results_can_be_opened_and_say_how_they_were_made(tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["--seed", "5", "--set", "pages_to_scan=2000", "--duration", "1s", "-q", "--output", str(out)]
    assert run_command(["run", str(write(tmp_path)), *ONE, *arguments]) == 0
    result = vmdedup.open_result(out)
    assert result.run["seed"] == 5
    assert result.run["scenario"]["ksm"]["pages_to_scan"] == "2000"
    assert result.run["versions"]["vmdedup"] == vmdedup.__version__
    assert result.run["machine"]["cores"] >= 1
    assert result.series.height == 2
    assert result.summary == json.loads((out / "summary.json").read_text())


@pytest.mark.compiled
def test_a_person_reads_the_summary_on_stdout(tmp_path: Path) -> None:
    done = call("run", str(write(tmp_path)), "--duration", "1s", "--guests", "2", "--output", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("small: 2 guests, 1s, lockstep clock, seed 1\n")
    for word in ("saved", "of it", "possible", "reached", "peak", "cost", "profit", "shares with"):
        assert f"\n{word}" in done.stdout
    assert done.stderr == f"results: {tmp_path}/out\n"
    assert "\x1b" not in done.stdout


def test_without_output_the_results_go_below_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run_command(["run", str(path), "--duration", "1s", "--guests", "1"]) == 0
    names = [entry.name for entry in (tmp_path / "runs").iterdir()]
    assert len(names) == 1
    assert names[0].startswith("small-")
    assert f"results: runs/{names[0]}" in capsys.readouterr().err


def test_verbose_tells_more_and_quiet_nothing(tmp_path: Path) -> None:
    path = str(write(tmp_path))
    quiet = call("run", path, *ONE, "--duration", "1s", "-q", "--output", str(tmp_path / "1"))
    assert quiet.stderr == ""
    assert quiet.stdout != ""


@pytest.mark.parametrize(
    ("text", "arguments", "status", "complaint"),
    [
        (
            SMALL + "memroy = 1\n",
            [],
            2,
            "small.toml:12: key guests[0].memroy: unknown key; did you mean 'memory'?",
        ),
        (
            SMALL.replace("8MiB", "8MX"),
            [],
            2,
            "small.toml:8: key guests[0].memory: size '8MX' has the unknown unit",
        ),
        (SMALL.replace("8MiB", "-8MiB"), [], 2, "is negative"),
        (SMALL, ["--memory", "lots"], 2, "--memory: size 'lots' is not a number with a unit"),
        (SMALL, ["--guests", "0"], 2, "--guests 0: a run needs a guest"),
        (SMALL, ["--guests", "x"], 2, "see vmdedup run --help"),
        (SMALL, ["--clock", "sundial"], 2, "see vmdedup run --help"),
        (SMALL, ["--nonsense"], 2, "see vmdedup run --help"),
        (
            SMALL,
            ["--set", "pages_to_scan=-1"],
            2,
            "--set pages_to_scan=-1: pages_to_scan refuses '-1': EINVAL",
        ),
        (SMALL, ["--duration", "5"], 2, "--duration: duration '5' has no unit"),
        (SMALL, ["--output", "/dev/null"], 2, "is a file; choose another directory with --output"),
        (SMALL, ["--output", "/proc/none/x"], 2, "choose another directory with --output"),
        (
            SMALL.replace('{ kind = "generated", mib = 16 }', '{ path = "/none" }'),
            [],
            2,
            "'/none' does not exist",
        ),
        (SMALL + '[host]\nmemory = "900TiB"\n', [], 1, "give less in [host] memory"),
        (SMALL + '[host]\nmemory = "2MiB"\n', ["--guests", "1"], 1, "host memory is exhausted"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    text: str,
    arguments: list[str],
    status: int,
    complaint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write(tmp_path, text)
    monkeypatch.chdir(tmp_path)
    assert run_command(["run", str(path), *arguments]) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("vmdedup: ")
    assert captured.err.count("\n") == 1
    assert complaint in captured.err
    assert [entry.name for entry in tmp_path.iterdir()] == ["small.toml"]


def test_a_taken_directory_is_refused_before_anything_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path)
    began = time.monotonic()
    assert run_command(["run", str(path), "--duration", "1h", "--output", str(tmp_path)]) == 2
    assert time.monotonic() - began < 10
    assert "is not empty; choose another directory" in capsys.readouterr().err


def test_a_full_disk_is_one_line_after_the_summary(tmp_path: Path) -> None:
    mount = tmp_path / "full"
    mount.mkdir()
    script = (
        "mount -t tmpfs -o size=8k none full 2>/dev/null || exit 77\n"
        f"{sys.executable} -m vmdedup run small.toml --guests 1 --duration 1s --output full/out\n"
        "status=$?; ls -A full >&2; exit $status"
    )
    write(tmp_path)
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    if done.returncode in (1, 77) and "vmdedup" not in done.stderr:
        pytest.skip("needs the right to mount a small file system")
    assert done.returncode == 1
    assert done.stdout.startswith("small: ")
    remedy = "free some, or choose another directory with --output"
    assert done.stderr == f"vmdedup: no space left for the results in full/out; {remedy}\n"


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    script = f"{sys.executable} -m vmdedup run --help | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode in (0, 141)


def test_help_and_version_are_light() -> None:
    code = (
        "import sys; from vmdedup.cli import run_command\n"
        "for arguments in (['--help'], ['run', '--help'], ['replay', '--help'], ['scenario', '--help']):\n"
        "    assert run_command(arguments) == 0\n"
        "assert run_command(['--version']) == 0\n"
        "heavy = {'numpy', 'numba', 'polars', 'multiprocessing', 'vmdedup.run'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"vmdedup {vmdedup.__version__}" in done.stdout
    assert done.stdout.count("vmdedup run ") >= 5


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([]) == 2
    assert "Commands:" in capsys.readouterr().err


def test_what_is_expected_decides_the_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario = write(tmp_path)
    plain = scenario.read_text()
    scenario.write_text(plain + '\n[[expect]]\nthat = "saved >= 0"\n')
    assert run_command(["run", str(scenario), *ONE, "-o", str(tmp_path / "held")]) == 0
    assert "✓ saved >= 0: " in capsys.readouterr().out
    scenario.write_text(plain + '\n[[expect]]\nthat = "saved > 1TiB"\n')
    assert run_command(["run", str(scenario), *ONE, "--json", "-o", str(tmp_path / "not")]) == 3
    (answer,) = json.loads(capsys.readouterr().out)["expectations"]
    assert (answer["that"], answer["holds"]) == ("saved > 1TiB", False)
    assert json.loads((tmp_path / "not" / "run.json").read_text())["scenario"]["expect"] == [{"that": "saved > 1TiB"}]
    scenario.write_text(plain + '\n[[expect]]\nthat = "savd > 1"\n')
    assert run_command(["run", str(scenario), *ONE, "-o", str(tmp_path / "no")]) == 2
    assert "did you mean" in capsys.readouterr().err
