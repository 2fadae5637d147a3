"""Every policy in real time, its process killed again and again: nobody notices but the log."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kit.small_runs import SMALL, Watching, host_of, run
from vmdedup.guest.vm import GuestProcess
from vmdedup.policy.table import POLICIES
from vmdedup.run import run as run_module
from vmdedup.run.backend.base import Backend
from vmdedup.run.emulation import Emulation
from vmdedup.run.measure.rows import Row
from vmdedup.run.run import INTERRUPTED
from vmdedup.scanner.guarded import GuardedScanner
from vmdedup.scenario.overrides import Overrides

pytestmark = [pytest.mark.slow, pytest.mark.compiled]

OFTEN = '[host]\nsample_interval = "200ms"\n[ksm]'
BUSY = SMALL.replace('workload = "idle"', 'workload = "webdb"').replace("[ksm]", OFTEN)
KILLS, ROWS_AFTER = 5, 5


class Killing(Watching):
    """Kills the policy's process after some rows, and a guest once, then ends the run; checks all when it is over."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
        super().__init__()
        self._random = random.Random(seed)
        self.killed = 0
        self.verified = 0
        self._last = 0
        monkeypatch.setattr(run_module, "Emulation", self._build)
        real = Emulation.on

        @contextmanager
        def on(emulation: Emulation, backend: Backend) -> Iterator[None]:
            with real(emulation, backend):
                yield
                self._verify(emulation)

        monkeypatch.setattr(Emulation, "on", on)

    def _build(self, *arguments: object) -> Emulation:
        self._emulation = Emulation(*arguments)  # type: ignore[arg-type]
        return self._emulation

    def sample(self, row: Row) -> None:
        super().sample(row)
        if self.killed < KILLS and self._random.random() < 0.7:
            os.kill(self._emulation.ksmd.pid, signal.SIGKILL)
            self.killed += 1
            self._last = len(self.rows)
        if len(self.rows) == 4:
            pid = self._emulation.guests[1].pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        if self.killed == KILLS and len(self.rows) == self._last + ROWS_AFTER:
            signal.raise_signal(signal.SIGINT)

    def _verify(self, emulation: Emulation) -> None:
        """The host's books are in order, and every guest reads back what it stored."""
        host_of(emulation).check()
        assert isinstance(emulation.ksmd, GuardedScanner)
        emulation.ksmd.check()
        for guest in emulation.alive():
            assert isinstance(guest, GuestProcess)
            self.verified += guest.verify()


@pytest.mark.parametrize("clock", ["wall", "lockstep"])
@pytest.mark.parametrize("name", sorted(POLICIES))
def test_a_policy_may_be_killed_at_any_moment(
    name: str, clock: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = Killing(monkeypatch, seed=len(name))
    result = run(tmp_path, BUSY, Overrides(policy=name, costs="operations", duration="1h", clock=clock), watcher)
    assert result.run["ended"] == INTERRUPTED
    assert watcher.killed == KILLS
    assert watcher.verified > 100
    assert sum("it is started again" in event["text"] for event in result.run["events"]) >= KILLS - 1
    assert result.guests["state"].to_list().count("dead") == 1
    last = result.series.row(-1, named=True)
    assert last["saved_pages"] == last["allocated_pages"] - last["used_pages"]
    scanned = result.series["pages_scanned"].to_list()
    assert scanned == sorted(scanned)
