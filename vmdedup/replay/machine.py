"""What a KSM script is played on: a protocol, filled by the emulator, by the host's own kernel, and by kernels in QEMU.

A machine has a method for each kind of step that it can do, of the step's name; `Machine` has those that all can.
Pages are numbered from 0 inside a process's one mapping; ranges `lo, hi` include both ends. The player checks
nothing: a script was validated when it was parsed, so names exist and pages lie inside their mapping.
"""

from __future__ import annotations

from typing import Any, Protocol

from vmdedup.errors import ScriptError
from vmdedup.replay.content import Content
from vmdedup.replay.steps import Options

COMMON = Options()  # what a mapping is like on every machine


class LacksStepError(ScriptError):
    """A machine has nothing for a step, or for what a step asks for."""

    def __init__(self, what: str) -> None:
        where = "play the script on the emulator, or on a kernel of its own (--on vm:VERSION)"
        super().__init__(f"{what!r} is nothing that can be done here; {where}")


def require_common(options: Options) -> None:
    """Raise LacksStepError for a mapping that a machine without nodes and kinds of mappings cannot have."""
    if options != COMMON:
        raise LacksStepError(f"vm with {options.text()}")


class Machine(Protocol):
    """Processes, their memory, and one ksmd, in the start state of the script specification."""

    def vm(self, name: str, pages: int, options: Options = COMMON) -> None:
        """Start a process with one private anonymous mapping, untouched.

        RefusedError: an option; the process lives on without it. LacksStepError: not to be had here.
        """

    def fork(self, name: str, child: str) -> None:
        """Fork the process; the child inherits the mapping copy-on-write, and its advice."""

    def exit(self, name: str) -> None:
        """End the process; its memory is gone when this returns."""

    def fill(self, name: str, lo: int, hi: int, content: Content) -> None:
        """Store content in each page of the range, ascending; page lo gets the content of index 0."""

    def poke(self, name: str, page: int, offset: int, byte: int) -> None:
        """Store one byte, also when it is there already."""

    def read(self, name: str, lo: int, hi: int) -> None:
        """Load one byte of each page."""

    def discard(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_DONTNEED)."""

    def unmap(self, name: str, lo: int, hi: int) -> None:
        """munmap; no later call names these pages; digest and sharing leave them out."""

    def mergeable(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_MERGEABLE)."""

    def unmergeable(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_UNMERGEABLE)."""

    def set(self, knob: str, value: str) -> None:
        """Write a tunable of /sys/kernel/mm/ksm as text. KnobError: the value is refused."""

    def scan(self, pages: int) -> None:
        """Let ksmd scan one batch of at most that many pages; it ends early at the end of a full scan."""

    def full_pass(self, times: int = 1) -> None:
        """Let ksmd scan to the end of the current full scan, that many times."""

    def counters(self) -> dict[str, Any]:
        """The counters in the order of the specification.

        pages_scanned and pages_skipped count from the start of the script. The last key, "vms", has for each
        living process, in order of creation, its four figures of /proc/PID/ksm_stat.
        """

    def sharing(self) -> list[list[str]]:
        """Sorted groups of "name:page" that share one physical page; groups of one are left out."""

    def digest(self) -> dict[str, str]:
        """SHA-256 in hex of each living process's mapped pages in order; reads each page.

        Processes stand in order of creation.
        """

    def close(self) -> None:
        """End all processes and give back what the machine took. Harmless when done already."""


class WholeMachine(Machine, Protocol):
    """A machine that can do every step there is."""

    def execute(self, name: str, mergeable: bool) -> None:
        """execve of the same program: a new mapping of the old one's size, advised or not."""

    def prctl(self, name: str, on: bool) -> None:
        """PR_SET_MEMORY_MERGE. RefusedError: EINVAL."""

    def hugepage(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_HUGEPAGE)."""

    def nohugepage(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_NOHUGEPAGE)."""

    def collapse(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_COLLAPSE). RefusedError: EINVAL."""

    def pageout(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_PAGEOUT)."""

    def node(self, name: str, node: int) -> None:
        """mbind(MPOL_BIND) of the whole mapping. RefusedError: EFAULT, a part of it is unmapped."""

    def migrate(self, name: str, lo: int, hi: int, node: int, everyone: bool) -> tuple[int, list[int]]:
        """move_pages. Returns what the call returned, and a status for each page (-999: not written)."""

    def cgroup(self, name: str) -> None:
        """Put the process into the memory cgroup that is reclaimed from."""

    def reclaim(self, size: int) -> None:
        """Write a number of bytes to that cgroup's memory.reclaim."""

    def swapon(self, device: str) -> None:
        """Have swap, to a device of steps. Where there is some, that is left."""

    def swapoff(self) -> None:
        """Have none; what was swapped out comes back."""

    def sys(self, file: str, value: str) -> None:
        """Write a file of the system. RefusedError: ENOENT, EINVAL, …"""

    def wait(self, milliseconds: int) -> None:
        """Let time pass."""

    def drain(self, on: bool | None) -> None:
        """Empty per-CPU lists of pages; on: before each batch from now on (as at the start), or no more; None: once."""

    def show(self, file: str) -> str | None:
        """What a file of the system says, without the newline at its end; None: there is none."""

    def kinds(self) -> dict[str, str]:
        """What each page of each living process is mapped by, a letter a page.

        . nothing, s swap entry, z zero page, Z huge zero page, k KSM frame, h part of a large folio, a other
        anonymous memory, p: k or a, where the kernel does not tell.
        """

    def nodes(self) -> dict[str, list[int]]:
        """The NUMA node of each page of each living process; -2: absent, -14: the zero page."""

    def mem(self) -> dict[str, Any]:
        """vmstat: counters of /proc/vmstat since the script began; kB: of each living process's mapping (smaps)."""

    def status(self, name: str) -> dict[str, Any]:
        """get_memory_merge: what PR_GET_MEMORY_MERGE says; then each line of /proc/PID/ksm_stat."""
