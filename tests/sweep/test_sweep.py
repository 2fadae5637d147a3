"""vmdedup sweep: a row a run, the same however the runs were made; what is stopped goes on; what fails is a row."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kit.leftovers import children
from kit.sweeps import RUNS, VARY, tiny
from vmdedup.cli import run_command
from vmdedup.errors import UsageError, WorkerDiedError
from vmdedup.result.sweep import FIGURES, frame_of, row_of
from vmdedup.result.sweep_directory import ROWS, TABLE, SweepDirectory
from vmdedup.sweep.axes import parse_axes
from vmdedup.sweep.child import figures
from vmdedup.sweep.children import Children
from vmdedup.sweep.grid import Grid, cells

pytestmark = pytest.mark.compiled


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a scenario, and a whole sweep of it, by two processes, in `out`."""
    path = tmp_path_factory.mktemp("sweep")
    words = ["sweep", tiny(path), *VARY, "--jobs", "2", "-q", "--plot", str(path / "a.svg"), "-o", str(path / "out")]
    assert run_command(words) == 0
    return path


@pytest.fixture(scope="module")
def grid(folder: Path) -> Grid:
    return Grid(tiny(folder), parse_axes(VARY[1::2]))


def table(folder: Path) -> bytes:
    return (folder / TABLE).read_bytes()


def kinds(grid: Grid) -> dict[str, type]:
    return {axis.name: axis.kind for axis in grid.axes}


def test_rows_by_processes_are_those_of_one_run_after_another(folder: Path, grid: Grid) -> None:
    rows = [row_of(cells(task, grid.axes), figures(grid.load(task))) for task in grid.tasks]
    frame = pl.read_parquet(folder / "out" / TABLE)
    assert frame.equals(frame_of(rows, kinds(grid)))
    assert frame.columns[:6] == ["run", "pages_to_scan", "guests", "seed", "ended", "reason"]
    assert frame["run"].to_list() == list(range(RUNS))
    assert frame["guests"].to_list() == [2, 3, 2, 3]
    assert (frame["saved_mib"] > 0).all()
    assert (frame["pages_scanned"].to_list()[2] > frame["pages_scanned"].to_list()[0]) is True
    assert "<svg" in (folder / "a.svg").read_text()


def test_what_was_stopped_goes_on_and_ends_in_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    words = ["sweep", tiny(tmp_path), *VARY, "--jobs", "1", "-o", str(tmp_path / "out")]
    rows = tmp_path / "out" / ROWS
    with subprocess.Popen([sys.executable, "-m", "vmdedup", *words], stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (rows.exists() and rows.read_bytes()):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130
    assert said.startswith("vmdedup: interrupted; ")
    assert 0 < pl.read_parquet(tmp_path / "out" / TABLE).height < RUNS
    with rows.open("ab") as file:
        file.write(b'{"run": 3, "gue')  # what a sweep that is killed may leave of a row
    assert run_command([*words, "-q"]) == 0
    assert table(tmp_path / "out") == table(folder / "out")


def test_a_run_whose_process_is_killed_is_made_again_and_at_last_a_row(grid: Grid, folder: Path) -> None:
    family = Children()
    killed: list[int] = []
    scenario = pickle.dumps(grid.load(grid.tasks[0]))
    with family, ThreadPoolExecutor(1) as thread:
        run = thread.submit(family.run, scenario)
        killed.append(victim(killed))
        assert run.result() == figures(grid.load(grid.tasks[0]))
        run = thread.submit(family.run, scenario)
        killed += [victim(killed)]
        killed += [victim(killed)]
        assert run.result() == {
            "ended": "died",
            "reason": "the process of the run was killed by SIGKILL, 2 times; is there memory enough?",
        }
    with pytest.raises(WorkerDiedError, match="no more runs"):
        family.run(scenario)


def victim(others: Sequence[int]) -> int:
    """Kill a process that makes runs and is none of others, once there is one."""
    while True:
        for pid, line in children(os.getpid()).items():
            if "vmdedup.sweep.child" in line and pid not in others:
                os.kill(pid, signal.SIGKILL)
                return pid
        time.sleep(0.01)


def test_a_run_that_fails_is_a_row_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vary = ["--vary", "memory=8MiB,1000GiB", "--vary", "guests=1,4000"]
    words = ["sweep", tiny(tmp_path), *vary, "-q", "--json", "-o", str(tmp_path / "out")]
    assert run_command(words) == 1
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["ended"] for row in rows] == ["complete", "failed", "failed", "failed"]
    assert "are available" in rows[3]["reason"]
    assert rows[3]["saved_mib"] is None
    assert run_command(words) == 1  # as it stands there
    assert json.loads(capsys.readouterr().out)["rows"] == rows


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--seeds", "2"), "holds another sweep (seeds, runs differ)"),
        (("--vary", "memory=8MiB"), "holds another sweep (axes differ)"),
    ],
)
def test_another_sweep_is_not_mixed_in(
    more: tuple[str, ...], said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = table(folder / "out")
    assert run_command(["sweep", tiny(folder), *VARY, *more, "-o", str(folder / "out")]) == 2
    assert said in capsys.readouterr().err
    assert table(folder / "out") == before


def test_a_directory_that_is_being_filled_is_left_alone(grid: Grid, tmp_path: Path) -> None:
    about = grid.document()
    with SweepDirectory(tmp_path / "out", about, kinds(grid)), pytest.raises(UsageError, match="being filled"):
        SweepDirectory(tmp_path / "out", about, kinds(grid))
    assert not (tmp_path / "out").exists()  # without a row it goes


@pytest.mark.parametrize("change", [{"run": 9}, {"guests": "2"}, {"saved_mib": 1}, {"more": 1}, {"ended": None}])
def test_rows_that_are_none_of_the_sweep_are_refused(change: dict[str, Any], grid: Grid, tmp_path: Path) -> None:
    with SweepDirectory(tmp_path / "out", grid.document(), kinds(grid)) as directory:
        row = row_of(cells(grid.tasks[0], grid.axes), {"ended": "failed", "reason": "why"})
        directory.keep(row)
        assert directory.finish().height == 1
        assert directory.forget_failed() == 1
        directory.keep(row)
    with SweepDirectory(tmp_path / "out", grid.document(), kinds(grid)) as directory:
        assert list(directory.rows.values()) == [row]
    (tmp_path / "out" / ROWS).write_text(json.dumps({**row, **change}) + "\n")
    with pytest.raises(UsageError, match="none of this sweep"):
        SweepDirectory(tmp_path / "out", grid.document(), kinds(grid))


def test_a_figure_that_is_none_is_told_before_any_run(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "saved_mib" in FIGURES
    words = ["sweep", tiny(tmp_path), *VARY, "-o", str(tmp_path / "out")]
    assert run_command([*words, "--plot", str(tmp_path / "a.svg"), "--show", "saved"]) == 2
    assert run_command([*words, "--plot", str(tmp_path / "a.txt")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.split(";")[0] for line in said] == [
        "vmdedup: --show: no figure is called 'saved'",
        f"vmdedup: {tmp_path / 'a.txt'} ends in none of .png, .svg, .pdf",
    ]
    assert not (tmp_path / "out").exists()
