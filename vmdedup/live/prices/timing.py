"""How long the kernel's ksmd takes for full scans of given bytes.

    with KernelTimer([pages]) as timer:
        first, merging, steady = timer.scan(), timer.scan(), timer.scan()

Each full scan is one batch, so no sleep of ksmd's is in it; the wake-up (some 50 µs) is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from vmdedup.live.ksm.cpu_clock import cpu_seconds, open_cpu_clock
from vmdedup.live.ksm.session import KsmSession
from vmdedup.live.scripts.kernel import KernelMachine
from vmdedup.replay.content import Pages
from vmdedup.replay.machine import COMMON
from vmdedup.replay.steps import HUGE, Options


@dataclass(frozen=True, slots=True)
class ScanTime:
    """One full scan: seconds by the clock, ksmd's processor seconds, pages scanned, counters afterwards."""

    wall_seconds: float
    cpu_seconds: float
    pages_scanned: int
    counters: dict[str, Any]


class KernelTimer:
    """Worker processes that hold the given bytes in mergeable memory, and ksmd, which scans when told to.

    memories: one array uint8 (n, 4096) a process. knobs: tunables that differ from the scripts' start state.
    session: an open one to use; without it, KSM is taken and given back. huge: in huge pages, which nobody puts
    together again.
    """

    def __init__(
        self,
        memories: Sequence[Pages],
        knobs: Mapping[str, str | int] | None = None,
        session: KsmSession | None = None,
        huge: bool = False,
    ) -> None:
        """Start the processes, store the bytes. EnvironmentLacksError, KnobError, HostError: as a machine."""
        with ExitStack() as stack:
            self.machine = stack.enter_context(KernelMachine(session))
            self._clock = open_cpu_clock(self.machine.session.ksmd.pid)
            stack.callback(os.close, self._clock)
            for knob, value in (knobs or {}).items():
                self.machine.set(knob, str(value))
            for number, pages in enumerate(memories):
                self.machine.vm(f"p{number}", len(pages), Options(size=HUGE) if huge else COMMON)
                self.machine.store(f"p{number}", 0, pages)
            self._stack = stack.pop_all()

    def scan(self, batch: int | None = None) -> ScanTime:
        """Have ksmd do one full scan, in one batch or in batches of so many pages."""
        before = self.machine.counters()["pages_scanned"]
        cpu, wall = self._cpu_seconds(), time.perf_counter()
        self._full_scan(batch)
        wall, cpu = time.perf_counter() - wall, self._cpu_seconds() - cpu
        counters = self.machine.counters()
        return ScanTime(wall, cpu, counters["pages_scanned"] - before, counters)

    def _full_scan(self, batch: int | None) -> None:
        if batch is None:
            self.machine.full_pass()
            return
        files, ksmd = self.machine.session.files, self.machine.session.ksmd
        scans = files.read("full_scans")
        while files.read("full_scans") == scans and ksmd.batch(batch):
            pass

    def close(self) -> None:
        """End the processes, restore all tunables. Harmless when done already."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _cpu_seconds(self) -> float:
        return cpu_seconds(self._clock)
