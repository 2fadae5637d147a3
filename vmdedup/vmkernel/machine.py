"""A kernel in a guest as a machine that KSM scripts are played on."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from vmdedup.ksm.sysfs import COUNTERS, LASTING, PROCESS_COUNTERS, START
from vmdedup.live.ksm.knobs import ScriptKnobs
from vmdedup.live.memory.pagemap import groups
from vmdedup.replay.content import Content
from vmdedup.vmkernel import numbers as sys
from vmdedup.vmkernel.files import GuestFiles, numbers
from vmdedup.vmkernel.guest import Guest
from vmdedup.vmkernel.ksmd import GuestKsmd
from vmdedup.vmkernel.look import Look
from vmdedup.vmkernel.memory import GuestMemory, address


class GuestMachine:
    """Fills replay.machine.Machine. One guest plays any number of scripts, one after the other; see start()."""

    def __init__(self, guest: Guest) -> None:
        """Take a booted guest, which stays its owner's."""
        self._guest = guest
        self._files = GuestFiles(guest)
        self._ksmd = GuestKsmd(guest, self._files)
        self._look = Look(guest)
        self._memories: dict[str, GuestMemory] = {}
        self._knobs = ScriptKnobs(self._files, self._ksmd)
        self.start()

    def start(self) -> None:
        """The start state of a script: whatever a script has left is gone."""
        while self._memories:
            self._guest.end(self._memories.popitem()[1].process)
        self._ksmd.park()
        self._files.write("run", "2")
        for knob, value in START.items():
            if self._files.has(knob) and knob not in ("pages_to_scan", "sleep_millisecs"):
                self._files.write(knob, value)
        self._ksmd.wait_idle()
        self._knobs = ScriptKnobs(self._files, self._ksmd)
        self._base = numbers(self._files.texts(LASTING))

    def vm(self, name: str, pages: int) -> None:
        """Start a process."""
        memory = GuestMemory(self._guest, self._guest.fork(), pages)
        self._memories[name] = memory
        memory.map()
        memory.advise(sys.MADV_NOHUGEPAGE, 0, pages - 1)
        memory.advise(sys.MADV_MERGEABLE, 0, pages - 1)
        self._ksmd.stir()

    def fork(self, name: str, child: str) -> None:
        """fork(2)."""
        self._memories[child] = self._memories[name].fork()
        self._ksmd.stir()

    def exit(self, name: str) -> None:
        """End a process."""
        self._guest.end(self._memories.pop(name).process)

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
        self._memories[name].advise(sys.MADV_DONTNEED, lo, hi)

    def unmap(self, name: str, lo: int, hi: int) -> None:
        """munmap."""
        self._memories[name].unmap(lo, hi)

    def mergeable(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_MERGEABLE)."""
        self._memories[name].advise(sys.MADV_MERGEABLE, lo, hi)
        self._ksmd.stir()

    def unmergeable(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_UNMERGEABLE)."""
        self._memories[name].advise(sys.MADV_UNMERGEABLE, lo, hi)

    def set(self, knob: str, value: str) -> None:
        """Write a tunable. KnobError: the kernel refuses it."""
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
        figures["vms"] = {name: self._process_counters(memory.pid) for name, memory in self._memories.items()}
        return figures

    def _process_counters(self, pid: int) -> dict[str, Any]:
        found = self._look.ksm_stat(pid)
        figures: dict[str, Any] = {name: found.get(name) for name in PROCESS_COUNTERS}
        if figures["ksm_merging_pages"] is None:
            figures["ksm_merging_pages"] = self._look.merging_pages(pid)
        return figures

    def sharing(self) -> list[list[str]]:
        """Groups of pages with one frame."""
        return groups({name: self._look.frames(memory) for name, memory in self._memories.items()})

    def digest(self) -> dict[str, str]:
        """SHA-256 of each process's pages."""
        return {name: memory.digest() for name, memory in self._memories.items()}

    def close(self) -> None:
        """End the script's processes."""
        while self._memories:
            self._guest.end(self._memories.popitem()[1].process)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
