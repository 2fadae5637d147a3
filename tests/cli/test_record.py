"""vmdedup record: what it says, where, with which exit status; what is left when it is interrupted or killed."""

from __future__ import annotations

import json
import os
import pty
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kit.known_child import Child
from kit.memory_dumps import page
from kit.processes import until
from vmdedup.cli import run_command
from vmdedup.errors import DumpError
from vmdedup.recording.reader import Recording

COMMAND = [sys.executable, "-m", "vmdedup", "record"]


@pytest.fixture
def series(tmp_path: Path) -> list[str]:
    """Three dumps of eight pages, each with one page more that differs from the first."""
    paths = []
    for number in range(3):
        paths.append(str(tmp_path / f"{number}.raw"))
        Path(paths[-1]).write_bytes(b"".join(page(n if n >= number else 100 + n) for n in range(8)))
    return paths


def test_a_series_of_dumps(series: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "life.rec"
    arguments = [f"day={','.join(series)}", series[0], "--output", str(path), "--interval", "1h"]
    assert run_command(["record", *arguments]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    lines = said.out.splitlines()
    assert lines[0].startswith(f"{path}: 2 guests, 3 steps in 2h, 10 different pages in ")
    assert [line.split() for line in lines[-3:]] == [["0", "0.0s", "8", "8"], ["1", "3600.0s", "1", "0"], [
        "2", "7200.0s", "1", "0"
    ]]  # fmt: skip
    assert run_command(["record", "--show", str(path)]) == 0
    assert capsys.readouterr().out == said.out


def test_the_document(series: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "life.rec"
    assert run_command(["record", f"day={','.join(series)}", "--output", str(path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said.pop("ended") == "complete"
    assert (said["schema_version"], said["distinct_pages"], said["note"]) == (1, 10, None)
    assert said["bytes"] == path.stat().st_size
    assert said["guests"] == [{"name": "day", "pages": 8, "source": ", ".join(series)}]
    assert [step["time_s"] for step in said["steps"]] == [0.0, 5.0, 10.0]
    assert [step["guests"][0]["changed_pages"] for step in said["steps"]] == [8, 1, 1]
    assert run_command(["record", "--show", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == said
    path.write_bytes(path.read_bytes() + b"torn")
    assert run_command(["record", "--show", str(path)]) == 0
    assert "note: the last 4 bytes are no whole step and are left out" in capsys.readouterr().out


def test_many_guests_are_summed_up(series: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = [f"g{number}={','.join(series)}" for number in range(7)]
    assert run_command(["record", *sources, "--output", str(tmp_path / "life.rec")]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["2", "10.0s", "7"]


WRONG: dict[str, tuple[list[str], str]] = {
    "nothing": ([], "record needs a SOURCE and --output FILE; see vmdedup record --help"),
    "no output": (["{dump}"], "record needs a SOURCE and --output FILE"),
    "show and record": (["{dump}", "--show", "{dump}"], "--show records nothing; leave SOURCE and --output out"),
    "no recording": (["--show", "{dump}"], "is no recording; make one with `vmdedup record`"),
    "no dump": (["no-such.raw", "--output", "{new}"], "no-such.raw"),
    "no interval": (["{dump}", "--output", "{new}", "--interval", "0s"], "--interval 0 will not do"),
    "no unit": (["{dump}", "--output", "{new}", "--interval", "5"], "has no unit"),
    "both": (["{dump}", "--output", "{new}", "--steps", "2", "--duration", "5s"], "say the same thing"),
    "no steps": (["{dump}", "--output", "{new}", "--steps", "0"], "--steps"),
    "output exists": (["{dump}", "--output", "{dump}"], "is read by this very command; choose another file to write"),
    "no such number": (["pid:" + "9" * 5000, "--output", "{new}"], "names no process; give its number"),
    "a number too long": (["pid:99999999999999999999", "--output", "{new}"], "names no process; give its number"),
    "nought": (["pid:0", "--output", "{new}"], "pid:0 names no process"),
    "no end": (
        ["{dump}", "--output", "{new}", "--interval", "1000000h"],
        "more than a century; give a shorter",
    ),
    "no process": (["pid:999999999", "--output", "{new}"], "cannot be recorded: there is none"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_is_asked_for_wrongly(
    series: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    places = {"dump": series[0], "new": str(tmp_path / "new.rec")}
    assert run_command(["record", *(argument.format(**places) for argument in arguments)]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.startswith("vmdedup: ")
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not (tmp_path / "new.rec").exists()


def steps_in(path: Path) -> int:
    """Whole steps, while the file is being written."""
    try:
        with Recording(path) as recording:
            return len(recording.steps)
    except DumpError:
        return 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_recorder_leaves_whole_steps(
    children: Callable[[], Child], tmp_path: Path, number: signal.Signals
) -> None:
    child, path = children(), tmp_path / "life.rec"
    schedule = ["--interval", "20ms", "--steps", "100000", "--pause"]
    command = [*COMMAND, f"g=pid:{child.pid}:largest", "--output", str(path), *schedule]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as recorder:
        until(lambda: steps_in(path) >= 3)
        recorder.send_signal(number)
        out, err = recorder.communicate(timeout=30)
    until(lambda: child.state() != "T")
    with Recording(path) as recording:
        assert len(recording.steps) >= 3
        assert recording.snapshot(0, len(recording.steps) - 1).present > 4000
        assert number == signal.SIGKILL or recording.note is None
    if number == signal.SIGINT:
        assert recorder.returncode == 130
        assert err == f"vmdedup: interrupted; {len(recording.steps)} whole steps are in {path}\n"
        assert out.startswith(f"{path}: 1 guest, {len(recording.steps)} steps")


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    """A limit on the file's size stands for the disk: two steps of 32 random pages fit, the third does not."""
    path, rng = tmp_path / "life.rec", np.random.default_rng(1)
    dumps = [tmp_path / f"{number}.raw" for number in range(4)]
    for dump in dumps:
        dump.write_bytes(rng.bytes(32 * 4096))

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    command = [*COMMAND, f"g={','.join(map(str, dumps))}", "--output", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, timeout=60)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "cannot be written (File too large); whole steps kept in it: 2; make room" in done.stderr
    assert steps_in(path) == 2


def test_progress_is_for_terminals(series: list[str], tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [*COMMAND, f"day={','.join(series)}", "--output", str(tmp_path / "life.rec")]
    try:
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=theirs, check=True, timeout=60)
        os.set_blocking(ours, False)
        said = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert "step 0: day" in said  # later ones only if they take a while
    assert said.endswith("\r\x1b[K")


def test_it_keeps_to_its_interval(children: Callable[[], Child], tmp_path: Path) -> None:
    child, path = children(), tmp_path / "life.rec"
    began = time.monotonic()
    arguments = [f"pid:{child.pid}:largest", "--output", str(path), "--interval", "600ms", "--duration", "1500ms", "-q"]
    assert run_command(["record", *arguments]) == 0
    assert time.monotonic() - began >= 1.2
    with Recording(path) as recording:
        times = [step.time_ns / 1e9 for step in recording.steps]
    assert len(times) == 3
    assert times[0] == 0
    assert times[1] >= 0.6
    assert times[2] >= 1.2
