"""KSM scripts on the emulator: a host, a ksmd, and a process for each vm."""

from __future__ import annotations

from typing import Any

import numpy as np

from vmdedup.host.layout import FRAME_MASK, FRAME_SHIFT, PRESENT
from vmdedup.host.memory import Host, Memory
from vmdedup.ksm.ksmd import Ksmd
from vmdedup.ksm.sysfs import COUNTERS
from vmdedup.replay.content import Content, pages_of
from vmdedup.replay.script import Script

# The start state of a script, where it differs from the kernel's defaults.
START = {"run": "1", "smart_scan": "0"}


class LocalProcess:
    """A script's process, played in this process."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    def fill(self, lo: int, hi: int, content: Content) -> None:
        """Store content in pages lo to hi."""
        for first, block in pages_of(content, lo, hi):
            self.memory.write_pages(np.arange(first, first + len(block)), block)

    def poke(self, page: int, offset: int, byte: int) -> None:
        """Store one byte."""
        self.memory.write(page, bytes([byte]), offset)

    def read(self, lo: int, hi: int) -> None:
        """Load a byte of each page."""
        self.memory.touch(np.arange(lo, hi + 1))

    def discard(self, lo: int, hi: int) -> None:
        """madvise(MADV_DONTNEED)."""
        self.memory.discard(np.arange(lo, hi + 1))

    def unmap(self, lo: int, hi: int) -> None:
        """munmap."""
        self.memory.unmap(lo, hi)

    def mergeable(self, lo: int, hi: int) -> None:
        """madvise(MADV_MERGEABLE)."""
        self.memory.mergeable(lo, hi)

    def unmergeable(self, lo: int, hi: int) -> None:
        """madvise(MADV_UNMERGEABLE)."""
        self.memory.unmergeable(lo, hi)

    def fork(self, child: str) -> LocalProcess:
        """fork(2)."""
        return LocalProcess(self.memory.fork(child))

    def digest(self) -> str:
        """SHA-256 of the mapped pages."""
        return self.memory.digest()

    def exit(self) -> None:
        """End; the memory is given back."""
        self.memory.exit()


class EmulatedMachine:
    """Fills replay.machine.Machine."""

    def __init__(self, script: Script) -> None:
        self.host = Host.create(script.pages(), mms=script.mms() + 1)
        self.ksmd = Ksmd(self.host)
        for knob, value in START.items():
            self.ksmd.set(knob, value)
        self._processes: dict[str, LocalProcess] = {}

    def vm(self, name: str, pages: int) -> None:
        """Start a process; see replay.machine."""
        memory = self.host.add(pages, name)
        self._processes[name] = LocalProcess(memory)
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
        process.exit()
        self.ksmd.exit(process.memory.mm)

    def fill(self, name: str, lo: int, hi: int, content: Content) -> None:
        """Store content in a range."""
        self._processes[name].fill(lo, hi, content)

    def poke(self, name: str, page: int, offset: int, byte: int) -> None:
        """Store one byte."""
        self._processes[name].poke(page, offset, byte)

    def read(self, name: str, lo: int, hi: int) -> None:
        """Load one byte of each page."""
        self._processes[name].read(lo, hi)

    def discard(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_DONTNEED)."""
        self._processes[name].discard(lo, hi)

    def unmap(self, name: str, lo: int, hi: int) -> None:
        """munmap."""
        self._processes[name].unmap(lo, hi)

    def mergeable(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_MERGEABLE)."""
        process = self._processes[name]
        self.ksmd.enter(process.memory.mm)
        process.mergeable(lo, hi)

    def unmergeable(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_UNMERGEABLE)."""
        self._processes[name].unmergeable(lo, hi)

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
        values: dict[str, Any] = {name: self.ksmd.counters()[name] for name in COUNTERS}
        values["vms"] = {name: self.ksmd.ksm_stat(p.memory.mm) for name, p in self._processes.items()}
        return values

    def sharing(self) -> list[list[str]]:
        """Groups of pages on one frame."""
        groups: dict[int, list[str]] = {}
        for name, process in self._processes.items():
            entries = process.memory.entries
            for page in np.flatnonzero(entries & PRESENT):
                pfn = int(entries[page] >> FRAME_SHIFT) & FRAME_MASK
                groups.setdefault(pfn, []).append(f"{name}:{page}")
        return sorted(sorted(group) for group in groups.values() if len(group) > 1)

    def digest(self) -> dict[str, str]:
        """SHA-256 of each living process's memory."""
        return {name: process.digest() for name, process in self._processes.items()}

    def close(self) -> None:
        """Give back the host's memory."""
        self.host.close()
