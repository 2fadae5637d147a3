"""Runs that take a second or two: small guests on a generated disk, the same on every machine."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from vmdedup.host.memory import Host
from vmdedup.result.run import Result
from vmdedup.run import run as run_module
from vmdedup.run.backend.emulator import Emulator
from vmdedup.run.emulation import Emulation
from vmdedup.run.measure.rows import Row
from vmdedup.run.run import COMPLETE, run_scenario
from vmdedup.scenario.load import load_scenario
from vmdedup.scenario.overrides import Overrides

SMALL = """\
name = "small"
duration = "3s"
[ksm]
run = 1
pages_to_scan = 1000
[[guests]]
count = 3
memory = "8MiB"
workload = "idle"
huge_pages = false
disk = { kind = "generated", mib = 16 }
"""


@dataclass
class Watching:
    """Keeps what a watcher is told; `act` is called with each row."""

    rows: list[Row] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    def sample(self, row: Row) -> None:
        self.rows.append(row)

    def event(self, text: str) -> None:
        self.events.append(text)


class Keeping(logging.Handler):
    """Keeps log messages."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def host_of(emulation: Emulation) -> Host:
    """The emulated host that guests are on."""
    assert isinstance(emulation.backend, Emulator)
    return emulation.backend.host


def write(folder: Path, text: str = SMALL) -> Path:
    path = folder / "small.toml"
    path.write_text(text)
    return path


def run(
    folder: Path,
    text: str = SMALL,
    overrides: Overrides | None = None,
    watcher: Watching | None = None,
    backend: str = "emulator",
) -> Result:
    """Run a scenario given as text."""
    scenario = load_scenario(write(folder, text), overrides)
    return run_scenario(scenario, watcher or Watching(), Keeping(), backend=backend)


class Acting(Watching):
    """A watcher that does something once, when the given row has been taken; it can see the emulation."""

    def __init__(self, row: int, act: Callable[[Emulation], None], monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self._row, self._act = row, act
        self._emulation: Emulation | None = None

        def build(*arguments: Any) -> Emulation:
            self._emulation = Emulation(*arguments)
            return self._emulation

        monkeypatch.setattr(run_module, "Emulation", build)

    def sample(self, row: Row) -> None:
        super().sample(row)
        if len(self.rows) == self._row + 1:
            assert self._emulation is not None
            self._act(self._emulation)


def kill_guest(number: int) -> Callable[[Emulation], None]:
    def kill(emulation: Emulation) -> None:
        pid = emulation.guests[number].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    return kill


def check_that_the_second_died(result: Result) -> None:
    """Of the three guests of SMALL, whose run went on without it and saved what was possible."""
    assert result.run["ended"] == COMPLETE
    assert [e["text"] for e in result.run["events"] if "SIGKILL" in e["text"]]
    assert result.guests["state"].to_list() == ["running", "dead", "running"]
    assert result.guests["allocated_pages"][1] == 0
    last = result.series.row(-1, named=True)
    assert last["guests"] == 2
    assert last["saved_pages"] > 0.9 * last["possible_pages"] > 0
