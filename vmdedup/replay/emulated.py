"""KSM scripts on the emulator: a host, a ksmd, and an address space for each process of the script.

The steps of a script come one after another, so all of them are played in this process: no process of its own could do
anything meanwhile. What happens when guests and ksmd do run at once is for scenarios, and for tests, which give other
kinds of process here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from vmdedup.closing import Closing
from vmdedup.errors import HostError, RefusedError
from vmdedup.host import layout
from vmdedup.host.khugepaged import Khugepaged
from vmdedup.host.layout import CTL_THP, FRAME_MASK, FRAME_SHIFT, MAPPED, PRESENT, WHOLE
from vmdedup.host.memory import MAX_MMS, Host
from vmdedup.host.mover import Moved, absent_status, bind, where
from vmdedup.host.space import Memory
from vmdedup.host.swap_device import SwapDevice
from vmdedup.host.thp import HUGE_PAGES, PARKED, THP_MADVISE
from vmdedup.ksm.ksmd import Ksmd
from vmdedup.ksm.profile import DEFAULT, Profile, profile
from vmdedup.ksm.sysfs import START
from vmdedup.replay.content import Content
from vmdedup.replay.files import Files
from vmdedup.replay.machine import COMMON
from vmdedup.replay.mapped import Mapped, smaps, vmstat
from vmdedup.replay.process import LocalProcess, Process
from vmdedup.replay.script import Script
from vmdedup.replay.steps import ANY, HUGE, MERGE_ANY, MERGEABLE, SMALL, Options, Swapon
from vmdedup.replay.swapping import Swapping

MOST_PROCESSES = MAX_MMS - 2
SPARE = HUGE_PAGES + 16  # frames beyond what processes have: for copies, and for pages that are put together
_SIZES = {SMALL: layout.NOHUGE, HUGE: layout.HUGE, ANY: 0}


class Engine(Protocol):
    """What scripts ask of a ksmd, in this process or in another."""

    def enter(self, mm: int) -> None:
        """MADV_MERGEABLE."""

    def exit(self, mm: int) -> None:
        """An address space has ended."""

    def fork(self, parent: int, child: int) -> None:
        """An address space has been copied."""

    def set(self, knob: str, text: str) -> None:
        """Write a tunable. Raises KnobError."""

    def move(self, mm: int, pages: Sequence[int], node: int, everybody: bool) -> Moved:
        """move_pages(2)."""

    def unfound(self) -> list[int]:
        """Entries that are not found from the KSM frame that they map."""

    def scan(self, pages: int) -> int:
        """One batch."""

    def full_scan(self) -> int:
        """Scan to the end of the current full scan."""

    def counters(self) -> dict[str, int]:
        """The counters of /sys/kernel/mm/ksm."""

    def ksm_stat(self, mm: int) -> dict[str, int]:
        """The figures of /proc/PID/ksm_stat."""

    def check(self) -> None:
        """Verify its records; raises InvariantError."""

    def get(self, knob: str) -> int:
        """A tunable's value."""

    def close(self) -> None:
        """End it."""


def emulated(script: Script, kernel: str | None) -> EmulatedMachine:
    """A machine for a script, as of a version of Linux; None: as is usual. UsageError: there is no such version."""
    return EmulatedMachine(script, profile=DEFAULT if kernel is None else profile(kernel))


def _host_for(script: Script) -> Host:
    """A host on which a script has room, on each of its nodes."""
    pages, mms, nodes = max(1, script.pages()), script.mms() + 1, script.nodes()
    swap = SwapDevice(off=True) if any(isinstance(step, Swapon) for step in script.steps) else False
    host = Host.create(pages, nodes * (pages + mms + SPARE), mms, nodes=nodes, swap=swap)
    host.arrays.ctl[CTL_THP] = THP_MADVISE
    return host


class EmulatedMachine(Closing):
    """Fills replay.machine.Machine. start: what plays a process, given its memory. ksmd: what scans a host."""

    def __init__(
        self,
        script: Script,
        start: Callable[[Memory], Process] = LocalProcess,
        ksmd: Callable[[Host, Profile], Engine] = Ksmd,
        profile: Profile = DEFAULT,
    ) -> None:
        """profile: of which version of Linux. HostError: the script is larger than the emulator can be."""
        if script.mms() > MOST_PROCESSES:
            raise HostError(
                f"{script.name} has {script.mms()} processes, the emulator at most {MOST_PROCESSES}; split the script"
            )
        self.host = _host_for(script)
        self.ksmd = ksmd(self.host, profile)
        self._khugepaged = Khugepaged(self.host, PARKED)
        self._files = Files(self.host, self._khugepaged, profile, self.ksmd.counters, self.ksmd.get, self.ksmd.set)
        self._cow_ksm = 0  # of processes that have exited
        self._profile = profile
        self._start = start
        self._processes: dict[str, Process] = {}
        self.swapping = Swapping(self.host, profile, self.ksmd.unfound)
        self._merging_all: set[str] = set()  # processes that PR_SET_MEMORY_MERGE holds for
        for knob, value in START.items():
            if profile.has(knob):
                self.ksmd.set(knob, value)

    def vm(self, name: str, pages: int, options: Options = COMMON) -> None:
        """Start a process; see replay.machine."""
        mergeable = options.merge == MERGEABLE
        bits = MAPPED | _SIZES[options.size] | (layout.MERGEABLE if mergeable else 0)
        memory = self.host.add(pages, name, options.node or 0, bits)
        self._processes[name] = self._start(memory)
        if mergeable:
            self.ksmd.enter(memory.mm)
        elif options.merge == MERGE_ANY:
            self.prctl(name, True)

    def fork(self, name: str, child: str) -> None:
        """fork(2) of a process."""
        parent = self._processes[name]
        forked = parent.fork(child)
        self._processes[child] = forked
        if name in self._merging_all:
            self._merging_all.add(child)
        if name in self.swapping.members:
            self.swapping.members.add(child)
        self.ksmd.fork(parent.memory.mm, forked.memory.mm)

    def exit(self, name: str) -> None:
        """End a process."""
        self._merging_all.discard(name)
        self.swapping.members.discard(name)
        self._end(self._processes.pop(name))

    def _end(self, process: Process) -> None:
        self._cow_ksm += process.memory.counter("cow_ksm")
        process.do("exit")
        process.close()
        self.ksmd.exit(process.memory.mm)

    def execute(self, name: str, mergeable: bool) -> None:
        """execve: a new address space, which ksmd knows of before the old one ends if all is to be merged."""
        old = self._processes[name]
        is_merged = mergeable or name in self._merging_all
        bits = MAPPED | layout.NOHUGE | (layout.MERGEABLE if is_merged else 0)
        memory = self.host.add(old.memory.pages, name, old.memory.counter("node"), bits)
        self._processes[name] = self._start(memory)
        if name in self._merging_all:
            self.ksmd.enter(memory.mm)
        self._end(old)
        if mergeable:
            self.ksmd.enter(memory.mm)

    def prctl(self, name: str, on: bool) -> None:
        """PR_SET_MEMORY_MERGE; taken back, advice goes too."""
        if not self._profile.has("PR_SET_MEMORY_MERGE"):
            raise RefusedError("PR_SET_MEMORY_MERGE", "EINVAL")
        process = self._processes[name]
        if on == (name in self._merging_all):
            return
        if on:
            self._merging_all.add(name)
            self.ksmd.enter(process.memory.mm)
        else:
            self._merging_all.remove(name)
        process.do("mergeable" if on else "unmergeable", 0, process.memory.pages - 1)

    def status(self, name: str) -> dict[str, Any]:
        """PR_GET_MEMORY_MERGE, and the lines of /proc/PID/ksm_stat."""
        memory = self._processes[name].memory
        has, merges_all = self._profile.has, name in self._merging_all
        lines: dict[str, Any] = dict(self.ksmd.ksm_stat(memory.mm))
        lines["ksm_merge_any"] = "yes" if merges_all else "no"
        lines["ksm_mergeable"] = "yes" if np.any(memory.entries & layout.MERGEABLE) else "no"
        said = {line: value for line, value in lines.items() if has(line) and has(f"ksm_stat:{line}")}
        return {"get_memory_merge": int(merges_all) if has("PR_SET_MEMORY_MERGE") else "EINVAL", **said}

    def node(self, name: str, node: int) -> None:
        """mbind(MPOL_BIND). RefusedError: the mapping has a hole."""
        memory = self._processes[name].memory
        if not np.all(memory.entries & MAPPED):
            raise RefusedError("mbind", "EFAULT")
        bind(self.host, memory.mm, node)

    def migrate(self, name: str, lo: int, hi: int, node: int, everyone: bool) -> tuple[int, list[int]]:
        """move_pages(2)."""
        return self.ksmd.move(self._processes[name].memory.mm, range(lo, hi + 1), node, everyone)

    def nodes(self) -> dict[str, list[int]]:
        """The NUMA node of each page, or why it has none."""
        absent = absent_status(self._profile.does("absent_is_told"))
        return {name: where(self.host, process.memory.mm, absent) for name, process in self._processes.items()}

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

    def hugepage(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_HUGEPAGE)."""
        self._processes[name].do("hugepage", lo, hi)

    def nohugepage(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_NOHUGEPAGE)."""
        self._processes[name].do("nohugepage", lo, hi)

    def collapse(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_COLLAPSE)."""
        if not self._profile.has("MADV_COLLAPSE") or not self._processes[name].do("collapse", lo, hi):
            raise RefusedError("MADV_COLLAPSE", "EINVAL")

    def pageout(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_PAGEOUT)."""
        self.swapping.page_out(self._processes[name].memory, lo, hi)

    def cgroup(self, name: str) -> None:
        """Put a process into the cgroup."""
        self.swapping.members.add(name)

    def reclaim(self, size: int) -> None:
        """memory.reclaim. RefusedError: this version has none."""
        members = self.swapping.members
        self.swapping.reclaim((p.memory for name, p in self._processes.items() if name in members), size)

    def swapon(self, device: str) -> None:
        """Have swap."""
        self.swapping.on(device)

    def swapoff(self) -> None:
        """Have none."""
        self.swapping.off()

    def set(self, knob: str, value: str) -> None:
        """Write a tunable."""
        self.ksmd.set(knob, value)

    def sys(self, file: str, value: str) -> None:
        """Write a file of the emulated system."""
        self._files.write(file, value)

    def show(self, file: str) -> str | None:
        """What such a file says."""
        return self._files.show(file)

    def wait(self, milliseconds: int) -> None:
        """Let khugepaged have that time. ksmd's clock stands still: no script depends on it."""
        self._khugepaged.run(milliseconds)

    def drain(self, on: bool | None) -> None:
        """Nothing: there are no per-CPU lists of pages here."""

    def scan(self, pages: int) -> None:
        """One batch."""
        self.ksmd.scan(pages)

    def full_pass(self, times: int = 1) -> None:
        """Full scans."""
        for _ in range(times):
            self.ksmd.full_scan()

    def counters(self) -> dict[str, Any]:
        """The counters, and each living process's."""
        values = self._shown(self.ksmd.counters())
        values["vms"] = {name: self._shown(self.ksmd.ksm_stat(p.memory.mm)) for name, p in self._processes.items()}
        return values

    def _shown(self, figures: Mapping[str, int]) -> dict[str, Any]:
        """Figures of this version; None where it has no file for them."""
        return {name: value if self._profile.has(name) else None for name, value in figures.items()}

    def sharing(self) -> list[list[str]]:
        """Groups of pages on one frame."""
        groups: dict[int, list[str]] = {}
        for name, process in self._processes.items():
            entries = process.memory.entries
            for page in np.flatnonzero(entries & PRESENT).tolist():
                pfn = int(entries[page] >> FRAME_SHIFT) & FRAME_MASK
                if pfn == 0 and entries[page] & WHOLE:  # of the huge zero page, which has frames of its own
                    pfn = -1 - page % HUGE_PAGES
                groups.setdefault(pfn, []).append(f"{name}:{page}")
        return sorted(sorted(group) for group in groups.values() if len(group) > 1)

    def digest(self) -> dict[str, str]:
        """SHA-256 of each living process's memory."""
        return {name: process.do("digest") for name, process in self._processes.items()}

    def kinds(self) -> dict[str, str]:
        """What each page is mapped by."""
        tells = self._profile.tells_ksm_pages
        return {name: Mapped(process.memory).kinds(tells) for name, process in self._processes.items()}

    def mem(self) -> dict[str, Any]:
        """What has happened to memory, and what each mapping takes."""
        cow_ksm = self._cow_ksm + sum(process.memory.counter("cow_ksm") for process in self._processes.values())
        kib = {name: smaps(process.memory, self._profile) for name, process in self._processes.items()}
        return {"vmstat": vmstat(self.host, self._profile, cow_ksm), "kB": kib}

    def spaces(self) -> dict[str, Memory]:
        """Each living process's memory."""
        return {name: process.memory for name, process in self._processes.items()}

    def close(self) -> None:
        """End all processes and give back the host's memory."""
        while self._processes:
            self._processes.popitem()[1].close()
        self.ksmd.close()
        self.host.close()
