"""Guests and ksmd that are killed in mid-run, runs that are interrupted, parents that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from kit.by_hand import Counting
from kit.processes import descendants, running, until
from kit.small_runs import SMALL, Acting, check_that_the_second_died, host_of, kill_guest, run, write
from vmdedup.run.emulation import Emulation
from vmdedup.run.measure.rows import Row
from vmdedup.run.run import ALL_DEAD, COMPLETE, INTERRUPTED
from vmdedup.scenario.overrides import Overrides

pytestmark = pytest.mark.compiled  # several processes at a time need atomic operations

JOURNALS = {f"{name}.jsonl" for name in ("series", "timing", "events")}
DEADLINE_S = 60.0


@pytest.mark.parametrize("clock", ["lockstep", "wall"])
def test_a_killed_guest_is_reported_and_the_run_goes_on(
    clock: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def checked(emulation: Emulation) -> None:
        real = Emulation._bury

        def bury(self: Emulation) -> None:
            dead = bool(self._unburied)
            real(self)
            if dead:
                host_of(self).check()

        monkeypatch.setattr(Emulation, "_bury", bury)
        kill_guest(1)(emulation)

    watcher = Acting(1, checked, monkeypatch)
    result = run(tmp_path, overrides=Overrides(clock=clock), watcher=watcher)
    check_that_the_second_died(result)


def test_what_a_dead_guest_had_is_counted_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killing(Counting):
        def sample(self, row: Row) -> None:
            super().sample(row)
            if len(self.rows) == 2:
                kill_guest(1)(self.emulation)

    watcher = Killing(monkeypatch)
    result = run(tmp_path, watcher=watcher)
    assert result.guests["state"].to_list() == ["running", "dead", "running"]
    rows = list(result.series.iter_rows(named=True))
    assert rows[-1]["allocated_pages"] < rows[1]["allocated_pages"]
    for row, counted in zip(rows, watcher.counted, strict=True):
        assert {name: row[name] for name in counted} == counted


def test_a_killed_ksmd_is_started_again_and_savings_recover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(emulation: Emulation) -> None:
        os.kill(emulation.ksmd.pid, signal.SIGKILL)

    watcher = Acting(2, kill, monkeypatch)
    result = run(tmp_path, overrides=Overrides(duration="6s"), watcher=watcher)
    assert result.run["ended"] == COMPLETE
    assert any("ksmd" in event["text"] for event in result.run["events"])
    last = result.series.row(-1, named=True)
    assert last["pages_to_scan"] == 1000
    assert last["saved_pages"] > 0.9 * last["possible_pages"] > 0


def test_when_every_guest_dies_the_run_ends_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill_all(emulation: Emulation) -> None:
        for number in emulation.guests:
            kill_guest(number)(emulation)

    result = run(tmp_path, watcher=Acting(1, kill_all, monkeypatch))
    assert result.run["ended"] == ALL_DEAD
    assert result.series["used_pages"][-1] == 0


def test_an_interrupt_keeps_the_results_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = Acting(2, lambda emulation: signal.raise_signal(signal.SIGINT), monkeypatch)
    result = run(tmp_path, overrides=Overrides(duration="1h"), watcher=watcher)
    assert result.run["ended"] == INTERRUPTED
    assert 2.0 <= result.series["time_s"][-1] < 10.0
    assert result.guests.filter(pl.col("state") == "running").height == 3


def command(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "vmdedup", "run", str(write(folder)), *arguments]


@pytest.fixture
def long_run(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run of an hour in a process of its own, past its start (all guests and ksmd are there)."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        command(tmp_path, "--duration", "1h", "--output", str(tmp_path / "out"), "-vv", "--clock", "wall"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"TMPDIR": str(temporary)},
    )
    try:
        until(lambda: len(descendants(process.pid)) >= 6 or process.poll() is not None)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_ctrl_c_ends_in_order_with_status_130(long_run: subprocess.Popen[str], tmp_path: Path) -> None:
    below = descendants(long_run.pid)
    os.killpg(long_run.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    out, err = long_run.communicate(timeout=DEADLINE_S)
    assert long_run.returncode == 130, err
    assert f"interrupted; the results so far are in {tmp_path / 'out'}" in err
    assert "Traceback" not in err
    assert "(interrupted)" in out
    assert json.loads((tmp_path / "out" / "run.json").read_text())["ended"] == INTERRUPTED
    until(lambda: not any(running(pid) for pid in below))
    assert not list((tmp_path / "temporary").iterdir())


def test_a_killed_parent_leaves_nothing_behind(long_run: subprocess.Popen[str], tmp_path: Path) -> None:
    below = descendants(long_run.pid)
    assert len(below) >= 6
    long_run.kill()
    long_run.wait()
    until(lambda: not any(running(pid) for pid in below))
    until(lambda: not list((tmp_path / "temporary").iterdir()))
    # Nothing but its rows, or not even these if it had taken none that are worth keeping.
    assert {path.name for path in tmp_path.iterdir()} <= {"out", "small.toml", "temporary"}
    assert not {path.name for path in (tmp_path / "out").glob("*")} - {"running.json", *JOURNALS}


def test_a_guest_that_cannot_get_on_dies_alone(tmp_path: Path) -> None:
    text = SMALL + '[[guests]]\nname = "tight"\nmemory = "4MiB"\nworkload = "stress"\ndisk.kind = "generated"\n'
    text += "boot.processes = 4\nboot.heap_share = 1.0\n"
    result = run(tmp_path, text)
    states = dict(zip(result.guests["guest"], result.guests["state"], strict=True))
    assert states["vm-0"] == "running"
    assert states["tight"] in ("dead", "running")
