"""One guest alone with ksmd: what any run does, also where kernels are not compiled."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from kit.small_runs import SMALL, Watching, run
from vmdedup.available import Available
from vmdedup.errors import HostError, UsageError
from vmdedup.guest.disk import Disk
from vmdedup.guest.diskspec import DiskSpec, open_disks
from vmdedup.run import emulation
from vmdedup.run import run as run_module
from vmdedup.run.emulation import Emulation
from vmdedup.run.room import host_room
from vmdedup.run.run import ALL_DEAD, COMPLETE, INTERRUPTED
from vmdedup.scenario.overrides import Overrides

ALONE = Overrides(guests=1, duration="2s")


class Acting(Watching):
    """Does something to the emulation when the second row has been taken."""

    def __init__(self, act: Callable[[Emulation], None], monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self._act = act
        monkeypatch.setattr(run_module, "Emulation", self._build)

    def _build(self, *arguments: Any) -> Emulation:
        self._emulation = Emulation(*arguments)
        return self._emulation

    def sample(self, row: dict[str, int | float | str]) -> None:
        super().sample(row)
        if len(self.rows) == 2:
            self._act(self._emulation)


def test_lockstep(tmp_path: Path) -> None:
    watcher = Watching()
    result = run(tmp_path, overrides=ALONE, watcher=watcher)
    assert result.run["ended"] == COMPLETE
    assert result.series["time_s"].to_list() == [0.0, 1.0, 2.0]
    assert watcher.rows == result.series.to_dicts()
    last = result.series.row(-1, named=True)
    parts = last["zero_pages"] + last["within_guest_pages"] + last["between_guests_pages"]
    assert last["saved_pages"] == parts > 0
    assert last["between_guests_pages"] == 0
    assert result.guests["used_pages"].sum() == pytest.approx(last["used_pages"])
    assert result.matrix["guest_b"].to_list() == ["vm"]


def test_reading_a_disk_is_no_event_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def listing(specs: Iterable[DiskSpec], note: Callable[[str], None]) -> dict[DiskSpec, Disk]:
        note("1,000 files listed")
        return open_disks(specs, note)

    monkeypatch.setattr(emulation, "open_disks", listing)
    watcher = Watching()
    result = run(tmp_path, overrides=ALONE, watcher=watcher)
    assert "1,000 files listed" in watcher.events
    assert result.run["events"] == []


def test_wall_with_a_stopped_ksmd(tmp_path: Path) -> None:
    flags = Overrides(guests=1, duration="2s", clock="wall", knobs=["run=0"])
    text = SMALL + '[[guests.events]]\nat = "500ms"\ndo = "pause"\n[[guests.events]]\nat = "1s"\ndo = "resume"\n'
    result = run(tmp_path, text, flags)
    assert result.run["ended"] == COMPLETE
    assert result.summary["saved_mib"] == 0
    assert result.summary["possible_mib"] > 0
    assert result.series.height >= 2
    assert [event["text"] for event in result.run["events"]] == ["vm: pause", "vm: resume"]


def test_a_guest_that_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(emulation: Emulation) -> None:
        os.kill(emulation.guests[0].pid or 0, signal.SIGKILL)

    result = run(tmp_path, overrides=ALONE, watcher=Acting(kill, monkeypatch))
    assert result.run["ended"] == ALL_DEAD
    assert result.guests["state"].to_list() == ["dead"]
    assert result.series["used_pages"][-1] == 0


def test_a_ksmd_that_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = Acting(lambda emulation: os.kill(emulation.ksmd.pid, signal.SIGKILL), monkeypatch)
    result = run(tmp_path, overrides=Overrides(guests=1, duration="4s"), watcher=watcher)
    assert result.run["ended"] == COMPLETE
    assert [event["text"] for event in result.run["events"]] == [
        "ksmd has died (killed by SIGKILL); it is started again"
    ]
    last = result.series.row(-1, named=True)
    assert last["saved_pages"] > 0
    assert last["run"] == 1


def test_an_interrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = Acting(lambda emulation: signal.raise_signal(signal.SIGINT), monkeypatch)
    before = signal.getsignal(signal.SIGINT)
    result = run(tmp_path, overrides=Overrides(guests=1, duration="1h"), watcher=watcher)
    assert result.run["ended"] == INTERRUPTED
    assert result.series["time_s"][-1] == 1.0
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_interrupt_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt_twice(emulation: Emulation) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, overrides=ALONE, watcher=Acting(interrupt_twice, monkeypatch))


def test_what_ksmd_refuses_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave it out"):
        run(tmp_path, overrides=Overrides(guests=1, knobs=["advisor_mode=scan-time"]))


def test_host_memory_that_runs_out(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="host memory is exhausted"):
        run(tmp_path, SMALL + '[host]\nmemory = "2MiB"\n', ALONE)


def test_how_much_memory_a_host_gets(tmp_path: Path) -> None:
    from kit.small_runs import write
    from vmdedup.scenario.load import load_scenario

    scenario = load_scenario(write(tmp_path), ALONE)
    assert host_room(scenario).frames == scenario.pages == 2048
    assert host_room(scenario, Available(4 << 20)).frames == 921
    limited = load_scenario(write(tmp_path, SMALL + '[host]\nmemory = "6MiB"\n'), ALONE)
    assert host_room(limited, Available(8 << 20)).frames == 1536
    with pytest.raises(HostError, match=r"has 6MiB of memory, but only 4MiB are available here; give less in.*3MiB at"):
        host_room(limited, Available(4 << 20))
