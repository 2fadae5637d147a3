"""However `vmdedup run --on kernel` ends, its processes are gone and every tunable is as before."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.kernel_runs import PATIENT, patiently
from kit.processes import descendants, running, until
from kit.small_runs import write
from kit.tunables import tunables
from vmdedup.cli import run_command

pytestmark = pytest.mark.compiled


@pytest.fixture
def long_run(tmp_path: Path, clock: str) -> Iterator[subprocess.Popen[str]]:
    """A run of an hour in a process of its own that has merged something already."""
    with patiently():
        pass
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    arguments = ["--on", "kernel", "--duration", "1h", "--clock", clock, "--output", str(tmp_path / "out")]
    process = subprocess.Popen(
        [sys.executable, "-c", PATIENT, "run", str(write(tmp_path)), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"TMPDIR": str(temporary)},
    )
    try:
        until(lambda: has_merged(process.pid) or process.poll() is not None)
        yield process
    finally:
        process.kill()
        process.communicate()


def has_merged(pid: int) -> bool:
    """Whether a process below this one has pages that KSM has merged."""
    return any(merging(child) > 0 for child in descendants(pid))


def merging(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/ksm_stat").read_text()
    except OSError:
        return 0
    return int(text.split("ksm_merging_pages")[1].split()[0])


@pytest.mark.kernel
@pytest.mark.parametrize("clock", ["lockstep", "wall"])
def test_ctrl_c_ends_in_order_with_status_130(long_run: subprocess.Popen[str], tmp_path: Path) -> None:
    below = descendants(long_run.pid)
    os.killpg(long_run.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    _, err = long_run.communicate(timeout=60.0)
    assert long_run.returncode == 130, err
    assert f"interrupted; the results so far are in {tmp_path / 'out'}" in err
    assert "Traceback" not in err
    document = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (document["ended"], document["backend"]) == ("interrupted", "kernel")
    until(lambda: not any(running(pid) for pid in below))
    assert not list((tmp_path / "temporary").iterdir())
    assert_as_before()


@pytest.mark.kernel
@pytest.mark.parametrize("clock", ["lockstep", "wall"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_leaves_nothing_behind(
    long_run: subprocess.Popen[str], number: signal.Signals, tmp_path: Path
) -> None:
    below = descendants(long_run.pid)
    assert len(below) >= 4
    long_run.send_signal(number)
    long_run.wait()
    until(lambda: not any(running(pid) for pid in below))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "small.toml", "temporary"]  # its rows are kept
    assert_as_before()


def assert_as_before() -> None:
    """KSM is off and has nothing merged, as `patiently` found it."""
    now = tunables()
    assert now["pages_shared"] == "0"
    assert int(now["sleep_millisecs"]) < 1_000_000
    assert now["pages_to_scan"] != "0"


def test_without_root_the_remedy_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert run_command(["run", str(write(tmp_path)), "--on", "kernel", "--output", str(tmp_path / "out")]) == 4
    assert "needs root; use sudo, or the emulator" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
