"""A kernel in a guest as a machine that KSM scripts are played on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vmdedup.closing import Closing
from vmdedup.errors import RefusedError
from vmdedup.ksm.sysfs import COUNTERS, LASTING, TUNABLES
from vmdedup.ksm.sysfs import START as KNOBS
from vmdedup.live.ksm.knobs import ScriptKnobs
from vmdedup.live.memory.pagemap import groups
from vmdedup.replay.content import Content
from vmdedup.replay.machine import COMMON
from vmdedup.replay.steps import HUGE, MERGE_ANY, MERGEABLE, PLAIN, SMALL, Options
from vmdedup.vmkernel import numbers as sys
from vmdedup.vmkernel.files import GuestFiles, numbers
from vmdedup.vmkernel.guest import Guest, error_name
from vmdedup.vmkernel.ksmd import GuestKsmd
from vmdedup.vmkernel.look import Look
from vmdedup.vmkernel.memory import GuestMemory, address
from vmdedup.vmkernel.system import System


class GuestMachine(Closing):
    """Fills replay.machine.WholeMachine. One guest plays any number of scripts, one after the other; see start()."""

    def __init__(self, guest: Guest, modules: tuple[Path, ...] = ()) -> None:
        """Take a booted guest, which stays its owner's. modules: what its kernel needs for swap."""
        self._guest = guest
        self._files = GuestFiles(guest)
        self._ksmd = GuestKsmd(guest, self._files)
        self._look = Look(guest)
        self._system = System(guest, modules)
        self._memories: dict[str, GuestMemory] = {}
        self.start()

    def start(self) -> None:
        """The start state of a script: whatever one before has left is gone."""
        self.close()
        self._system.restore()
        self._ksmd.drains = True
        self._ksmd.park()
        self._files.write("run", "2")
        for knob, value in KNOBS.items():
            if self._files.has(knob) and (knob == "run" or not TUNABLES[knob].is_stepped):
                self._files.write(knob, value)
        self._ksmd.wait_idle()
        self._knobs = ScriptKnobs(self._files, self._ksmd)
        self._base = numbers(self._files.texts(LASTING))
        self._vmstat = self._look.vmstat()

    def vm(self, name: str, pages: int, options: Options = COMMON) -> None:
        """Start a process."""
        self._ksmd.stir()
        memory = GuestMemory(self._guest, self._guest.fork(), pages)
        self._memories[name] = memory
        refused = memory.merge_any(True) if options.merge == MERGE_ANY else 0
        self._map(memory, options)
        if refused:
            raise RefusedError("PR_SET_MEMORY_MERGE", error_name(refused))

    def _map(self, memory: GuestMemory, options: Options) -> None:
        """A process's mapping, before it is touched."""
        memory.map()
        if options.size in (SMALL, HUGE):
            self._advise(memory, sys.MADV_HUGEPAGE if options.size == HUGE else sys.MADV_NOHUGEPAGE)
        if options.node is not None:
            memory.bind(options.node)
        if options.merge == MERGEABLE:
            self._advise(memory, sys.MADV_MERGEABLE)

    def _advise(self, memory: GuestMemory, advice: int, lo: int = 0, hi: int | None = None) -> None:
        """madvise. RefusedError."""
        if advice == sys.MADV_MERGEABLE:
            self._ksmd.stir()
        result = memory.advise(advice, lo, memory.pages - 1 if hi is None else hi)
        if result < 0:
            raise RefusedError("madvise", error_name(result))

    def fork(self, name: str, child: str) -> None:
        """fork(2)."""
        self._ksmd.stir()
        self._memories[child] = self._memories[name].fork()

    def exit(self, name: str) -> None:
        """End a process."""
        self._guest.end(self._memories.pop(name).process)

    def execute(self, name: str, mergeable: bool) -> None:
        """execve(2)."""
        self._ksmd.stir()
        memory = self._memories[name]
        result = memory.execute()
        if result < 0:
            raise RefusedError("execve", error_name(result))
        self._map(memory, Options(merge=MERGEABLE if mergeable else PLAIN))

    def fill(self, name: str, lo: int, hi: int, content: Content) -> None:
        """Store a content."""
        self._memories[name].fill(lo, hi, content)

    def poke(self, name: str, page: int, offset: int, byte: int) -> None:
        """Store one byte."""
        self._memories[name].store(address(page) + offset, bytes([byte]))

    def read(self, name: str, lo: int, hi: int) -> None:
        """Load one byte of each page."""
        self._memories[name].load(lo, hi)

    def discard(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_DONTNEED)."""
        self._advise(self._memories[name], sys.MADV_DONTNEED, lo, hi)

    def unmap(self, name: str, lo: int, hi: int) -> None:
        """munmap."""
        self._memories[name].unmap(lo, hi)

    def mergeable(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_MERGEABLE)."""
        self._advise(self._memories[name], sys.MADV_MERGEABLE, lo, hi)

    def unmergeable(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_UNMERGEABLE)."""
        self._advise(self._memories[name], sys.MADV_UNMERGEABLE, lo, hi)

    def hugepage(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_HUGEPAGE)."""
        self._advise(self._memories[name], sys.MADV_HUGEPAGE, lo, hi)

    def nohugepage(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_NOHUGEPAGE)."""
        self._advise(self._memories[name], sys.MADV_NOHUGEPAGE, lo, hi)

    def collapse(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_COLLAPSE)."""
        self._advise(self._memories[name], sys.MADV_COLLAPSE, lo, hi)

    def pageout(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_PAGEOUT)."""
        self._advise(self._memories[name], sys.MADV_PAGEOUT, lo, hi)

    def prctl(self, name: str, on: bool) -> None:
        """PR_SET_MEMORY_MERGE."""
        self._ksmd.stir()
        result = self._memories[name].merge_any(on)
        if result < 0:
            raise RefusedError("PR_SET_MEMORY_MERGE", error_name(result))

    def node(self, name: str, node: int) -> None:
        """mbind."""
        result = self._memories[name].bind(node)
        if result < 0:
            raise RefusedError("mbind", error_name(result))

    def migrate(self, name: str, lo: int, hi: int, node: int, everyone: bool) -> tuple[int, list[int]]:
        """move_pages."""
        flags = sys.MPOL_MF_MOVE_ALL if everyone else sys.MPOL_MF_MOVE
        return self._look.move(self._memories[name], lo, hi, node, flags)

    def cgroup(self, name: str) -> None:
        """Into the memory cgroup."""
        self._system.cgroup(self._memories[name].pid)

    def reclaim(self, size: int) -> None:
        """Reclaim from it."""
        self._system.reclaim(size)

    def swapon(self, device: str) -> None:
        """Have swap. LacksStepError: there is no zram in its kernel."""
        self._system.swapon(device)

    def swapoff(self) -> None:
        """Have none."""
        self._system.swapoff()

    def sys(self, file: str, value: str) -> None:
        """Write a file."""
        self._system.write(file, value)

    def wait(self, milliseconds: int) -> None:
        """Let time pass."""
        self._system.wait(milliseconds)

    def drain(self, on: bool | None) -> None:
        """Empty per-CPU lists of pages, once, or before each batch."""
        if on is None:
            self._ksmd.drain()
        else:
            self._ksmd.drains = on

    def set(self, knob: str, value: str) -> None:
        """Write a tunable. KnobError: the kernel refuses it."""
        self._ksmd.stir()
        self._knobs.set(knob, value)

    def scan(self, pages: int) -> None:
        """One batch of ksmd."""
        if pages:
            self._ksmd.batch(pages)

    def full_pass(self, times: int = 1) -> None:
        """Full scans, as long as there is something to scan."""
        for _ in range(times):
            if not self._ksmd.full_scan():
                return

    def counters(self) -> dict[str, Any]:
        """The global counters, and each process's own; None: this kernel has no such file."""
        figures: dict[str, Any] = numbers(self._files.texts(COUNTERS))
        for name in LASTING:
            if figures[name] is not None:
                figures[name] -= self._base[name] or 0
        counters = self._look.process_counters([memory.pid for memory in self._memories.values()])
        figures["vms"] = dict(zip(self._memories, counters, strict=True))
        return figures

    def sharing(self) -> list[list[str]]:
        """Groups of pages with one frame."""
        return groups({name: self._look.frames(memory) for name, memory in self._memories.items()})

    def digest(self) -> dict[str, str]:
        """SHA-256 of each process's pages."""
        return {name: memory.digest() for name, memory in self._memories.items()}

    def kinds(self) -> dict[str, str]:
        """What each page is mapped by."""
        return {name: self._look.kinds(memory) for name, memory in self._memories.items()}

    def nodes(self) -> dict[str, list[int]]:
        """The node of each page."""
        return {name: self._look.nodes(memory) for name, memory in self._memories.items()}

    def mem(self) -> dict[str, Any]:
        """Changes of /proc/vmstat, and figures of each mapping."""
        now = self._look.vmstat().items()
        return {
            "vmstat": {name: None if value is None else value - (self._vmstat[name] or 0) for name, value in now},
            "kB": {name: self._look.smaps(memory) for name, memory in self._memories.items()},
        }

    def status(self, name: str) -> dict[str, Any]:
        """A process's ksm_stat."""
        memory = self._memories[name]
        merge = memory.do(sys.PRCTL, sys.PR_GET_MEMORY_MERGE, 0, 0, 0, 0)
        return {"get_memory_merge": error_name(merge) if merge < 0 else merge, **self._look.ksm_stat(memory.pid)}

    def show(self, file: str) -> str | None:
        """What a file says."""
        return self._system.show(file)

    def close(self) -> None:
        """End the script's processes."""
        while self._memories:
            self._guest.end(self._memories.popitem()[1].process)
