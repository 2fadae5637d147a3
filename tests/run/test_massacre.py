"""200 kills (SIGKILL) of guests and of ksmd at random moments: after each, the host's check finds nothing wrong."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from kit.small_runs import SMALL, Watching, host_of, run
from vmdedup.host.memory import Host
from vmdedup.run import run as run_module
from vmdedup.run.emulation import Emulation
from vmdedup.run.run import INTERRUPTED
from vmdedup.scanner.process import ScannerProcess
from vmdedup.scenario.overrides import Overrides

GUESTS, GUEST_KILLS, KSMD_KILLS = 16, 12, 8
ROWS_AFTER = 6
# So much memory that what is served stays cached: what changes all the time is not saved.
BUSY = SMALL.replace('workload = "idle"', 'workload = "webdb"').replace('memory = "8MiB"', 'memory = "16MiB"')


class Killer(threading.Thread):
    """Kills guests and ksmd of an emulation, one after another, at moments that a seed decides."""

    def __init__(self, emulation: Emulation, seed: int) -> None:
        super().__init__(daemon=True)
        self._emulation = emulation
        self._random = random.Random(seed)
        self._last_ksmd = 0
        self.killed: list[str] = []

    def run(self) -> None:
        victims = ["ksmd"] * KSMD_KILLS + [str(n) for n in self._random.sample(range(GUESTS), GUEST_KILLS)]
        self._random.shuffle(victims)
        for victim in victims:
            time.sleep(self._random.uniform(0.0, 0.15))
            self._kill(victim)

    def _kill(self, victim: str) -> None:
        pid = self._living_ksmd() if victim == "ksmd" else self._emulation.guests[int(victim)].pid
        if pid:
            os.kill(pid, signal.SIGKILL)
            self.killed.append(victim)

    def _living_ksmd(self) -> int:
        """The process id of a ksmd that has not been killed yet; 0 if none comes, however busy the machine is."""
        deadline = time.monotonic() + 180
        while self._emulation.ksmd.pid == self._last_ksmd:
            if time.monotonic() > deadline:
                return 0
            time.sleep(0.002)
        self._last_ksmd = self._emulation.ksmd.pid
        return self._last_ksmd


class Massacre(Watching):
    """Lets the killer loose once all guests are there, and checks the host after every burial."""

    def __init__(self, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.killer: Killer | None = None
        self.buried = 0
        self._rows_after = 0
        self._seed = seed
        monkeypatch.setattr(run_module, "Emulation", self._build)
        self._check_after(Emulation, "_bury", monkeypatch)
        self._check_before_recovery(monkeypatch)

    def _build(self, *arguments: Any) -> Emulation:
        self._emulation = Emulation(*arguments)
        return self._emulation

    def _check_after(self, owner: type, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        real = getattr(owner, name)

        def checked(emulation: Emulation) -> None:
            dead = len(emulation._unburied)
            real(emulation)
            if dead:
                host_of(emulation).check()
                self.buried += dead

        monkeypatch.setattr(owner, name, checked)

    def _check_before_recovery(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Host memory is counted afresh only while every guest stands between two operations."""
        real = Host.recover

        def recover(host: Host) -> None:
            emulation: Any = getattr(self, "_emulation", None)
            # Warming up, before the emulation is on any backend, recovers a host of its own.
            if hasattr(emulation, "backend") and host is host_of(emulation):
                for guest in emulation.alive():
                    assert guest.state != "free", f"{guest.spec.name} runs free during a recovery"
                    assert not guest.crew._waiting, f"{guest.spec.name} is at work during a recovery"
            real(host)

        monkeypatch.setattr(Host, "recover", recover)

    def sample(self, row: dict[str, int | float | str]) -> None:
        super().sample(row)
        if self.killer is None:
            self.killer = Killer(self._emulation, self._seed)
            self.killer.start()
        elif not self.killer.is_alive():
            self._rows_after += 1
            if self._rows_after == ROWS_AFTER:
                signal.raise_signal(signal.SIGINT)  # time enough for savings to recover: end the run


@pytest.mark.slow
@pytest.mark.compiled
@pytest.mark.parametrize("seed", range(10))
def test_whoever_is_killed_the_host_stays_sound(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    massacre = Massacre(seed, monkeypatch)
    clock = ("lockstep", "wall")[seed % 2]
    revived = 0

    def revive(ksmd: ScannerProcess, real: Any = ScannerProcess.revive) -> None:
        nonlocal revived
        revived += 1
        real(ksmd)

    monkeypatch.setattr(ScannerProcess, "revive", revive)
    result = run(tmp_path, BUSY, Overrides(guests=GUESTS, duration="1h", clock=clock), massacre)
    assert massacre.killer is not None
    assert result.run["ended"] == INTERRUPTED
    assert len(massacre.killer.killed) == GUEST_KILLS + KSMD_KILLS
    assert result.guests["state"].to_list().count("dead") == GUEST_KILLS
    assert massacre.buried == GUEST_KILLS
    assert revived == KSMD_KILLS
    last = result.series.row(-1, named=True)
    assert last["guests"] == GUESTS - GUEST_KILLS
    assert last["saved_pages"] > 0.8 * last["possible_pages"] > 0
