"""KSM scripts on the emulator: a host, a ksmd, and a process for each vm."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np

from vmdedup.host.layout import FRAME_MASK, FRAME_SHIFT, PRESENT
from vmdedup.host.memory import Host
from vmdedup.ksm.daemon import KsmdProcess
from vmdedup.ksm.ksmd import Ksmd
from vmdedup.replay.content import Content
from vmdedup.replay.process import LocalProcess, Process, WorkerProcess
from vmdedup.replay.script import Script

# The start state of a script, where it differs from the kernel's defaults.
START = {"run": "1", "smart_scan": "0"}


class EmulatedMachine:
    """Fills replay.machine.Machine. workers: each process of the script, and ksmd, in a process of its own.

    Without workers everything is played in this process: the same engine, for tests and for many small scripts.
    """

    def __init__(self, script: Script, workers: bool = True) -> None:
        self.host = Host.create(max(1, script.pages()), mms=script.mms() + 1)
        self.ksmd: Ksmd | KsmdProcess = KsmdProcess(self.host) if workers else Ksmd(self.host)
        self._kind: type[LocalProcess | WorkerProcess] = WorkerProcess if workers else LocalProcess
        self._processes: dict[str, Process] = {}
        for knob, value in START.items():
            self.ksmd.set(knob, value)

    def vm(self, name: str, pages: int) -> None:
        """Start a process; see replay.machine."""
        memory = self.host.add(pages, name)
        self._processes[name] = self._kind(memory)
        self.ksmd.enter(memory.mm)

    def fork(self, name: str, child: str) -> None:
        """fork(2) of a process."""
        parent = self._processes[name]
        forked = parent.fork(child)
        self._processes[child] = forked
        if self.ksmd.is_entered(parent.memory.mm):
            self.ksmd.enter(forked.memory.mm)

    def exit(self, name: str) -> None:
        """End a process."""
        process = self._processes.pop(name)
        process.do("exit")
        process.close()
        self.ksmd.exit(process.memory.mm)

    def fill(self, name: str, lo: int, hi: int, content: Content) -> None:
        """Store content in a range."""
        self._processes[name].do("fill", lo, hi, content)

    def poke(self, name: str, page: int, offset: int, byte: int) -> None:
        """Store one byte."""
        self._processes[name].do("poke", page, offset, byte)

    def read(self, name: str, lo: int, hi: int) -> None:
        """Load one byte of each page."""
        self._processes[name].do("read", lo, hi)

    def discard(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_DONTNEED)."""
        self._processes[name].do("discard", lo, hi)

    def unmap(self, name: str, lo: int, hi: int) -> None:
        """munmap."""
        self._processes[name].do("unmap", lo, hi)

    def mergeable(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_MERGEABLE)."""
        process = self._processes[name]
        self.ksmd.enter(process.memory.mm)
        process.do("mergeable", lo, hi)

    def unmergeable(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_UNMERGEABLE)."""
        self._processes[name].do("unmergeable", lo, hi)

    def set(self, knob: str, value: str) -> None:
        """Write a tunable."""
        self.ksmd.set(knob, value)

    def scan(self, pages: int) -> None:
        """One batch."""
        self.ksmd.scan(pages)

    def full_pass(self, times: int = 1) -> None:
        """Full scans."""
        for _ in range(times):
            self.ksmd.full_scan()

    def counters(self) -> dict[str, Any]:
        """The counters, and each living process's."""
        values: dict[str, Any] = dict(self.ksmd.counters())
        values["vms"] = {name: self.ksmd.ksm_stat(p.memory.mm) for name, p in self._processes.items()}
        return values

    def sharing(self) -> list[list[str]]:
        """Groups of pages on one frame."""
        groups: dict[int, list[str]] = {}
        for name, process in self._processes.items():
            entries = process.memory.entries
            for page in np.flatnonzero(entries & PRESENT).tolist():
                pfn = int(entries[page] >> FRAME_SHIFT) & FRAME_MASK
                groups.setdefault(pfn, []).append(f"{name}:{page}")
        return sorted(sorted(group) for group in groups.values() if len(group) > 1)

    def digest(self) -> dict[str, str]:
        """SHA-256 of each living process's memory."""
        return {name: process.do("digest") for name, process in self._processes.items()}

    def close(self) -> None:
        """End all processes and give back the host's memory."""
        while self._processes:
            self._processes.popitem()[1].close()
        if isinstance(self.ksmd, KsmdProcess):
            self.ksmd.close()
        self.host.close()

    def __enter__(self) -> EmulatedMachine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
