"""The kernel under us: guests' memory in real mappings, scanned by the machine's own ksmd.

What belongs to an emulated host has no meaning here: its memory is this machine's, its nodes, and its khugepaged.
Guests ask for huge pages as they would there; whether they get any is this machine's affair.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

from vmdedup.available import available_memory
from vmdedup.errors import EnvironmentLacksError, HostError, UsageError
from vmdedup.guest.disk import Disk
from vmdedup.guest.diskspec import DiskSpec
from vmdedup.guest.spec import GuestSpec
from vmdedup.guest.vm import GuestProcess
from vmdedup.host.logs import LogChannel
from vmdedup.live.ksm.alone import mergeable_processes, require_ksm, require_root
from vmdedup.live.ksm.lock import process_name
from vmdedup.live.ksm.session import KsmSession
from vmdedup.live.ksm.sysfs import KsmFiles
from vmdedup.live.mapped.ksmd import KernelKsmd
from vmdedup.live.mapped.space import NewMemory, Space
from vmdedup.live.memory.hashing import PageHasher
from vmdedup.live.memory.look import Look, look
from vmdedup.run.backend.base import Note, Running, Standing, need_guests, write_tunables
from vmdedup.run.measure.accounting import Mappings
from vmdedup.run.measure.host import Figures
from vmdedup.run.measure.outside import figures_of, mappings_of
from vmdedup.run.room import HostRoom
from vmdedup.run.warm import start_workers
from vmdedup.scenario.model import Scenario
from vmdedup.units import PAGE_SIZE, format_size

_ROOM = 0.9  # share of this machine's available memory that guests may take


class Kernel:
    """Fills run.backend.base.Backend."""

    relief: Callable[[GuestProcess], None]
    disks: Mapping[DiskSpec, Disk]

    def __init__(self, session: KsmSession, guests: int, logs: LogChannel, huge_pages: str) -> None:
        """guests: how many there will be at most. huge_pages: which of them ask for huge pages, as in [host]."""
        self.ksmd = KernelKsmd(session)
        self.spaces: dict[int, Space] = {}
        self._guests, self._huge_pages = guests, huge_pages
        self._hasher = PageHasher()
        self._admitted = 0
        self._logs = logs
        self._note: Note = lambda text: None
        self._intruders: set[int] = set()

    def about(self) -> Mapping[str, Any]:
        """Who scans; the host is this machine."""
        return {"backend": "kernel", "policy": "ksm", "is_bound": False, "host": None}

    def meet(self, standing: Standing, note: Note) -> None:
        """Be told who hears what happens."""
        self._note = note

    def admit(self, spec: GuestSpec) -> GuestProcess:
        """A new guest, started; its mapping is there, and on ksmd's list, when this returns."""
        self._admitted += 1
        ours, theirs = Pipe(duplex=False)
        with ours, theirs:
            memory = NewMemory(spec.memory_pages, spec.name, theirs, spec.mergeable, self._asks_for_huge(spec))
            guest = GuestProcess(spec, memory, self._admitted, self.disks[spec.disk], logs=self._logs)
            try:
                guest.start()
                self._settle(guest, ours)
            except BaseException:
                guest.kill()
                raise
        return guest

    def _asks_for_huge(self, spec: GuestSpec) -> bool:
        return self._huge_pages == "always" or (self._huge_pages == "madvise" and spec.huge_pages)

    def _settle(self, guest: GuestProcess, report: Connection) -> None:
        """Learn where the guest's mapping is. One that is dead already says so when it is next spoken to."""
        assert guest.pid is not None
        assert guest.sentinel is not None
        ready = wait([report, guest.sentinel])
        if report in ready and (base := report.recv()):
            self.spaces[guest.mm] = Space(guest.mm, guest.pid, base, guest.spec.memory_pages)
            self.ksmd.pids[guest.mm] = guest.pid

    def release(self, guest: GuestProcess) -> None:
        """Forget where the guest's memory was; the kernel has taken it back."""
        self.spaces.pop(guest.mm, None)
        self.ksmd.exit(guest.mm)

    def move(self, guest: GuestProcess, node: int) -> int:
        """Nothing: a scenario for this backend has one node."""
        return 0

    def time_left(self, guest: GuestProcess, nanoseconds: int) -> int:
        """All of it: who waits for memory here really waits."""
        return nanoseconds

    def can_be_full(self, pages: Iterable[int]) -> bool:
        """Nobody knows."""
        return False

    def find_memory(self, guest: GuestProcess) -> bool:
        """Nothing: no guest waits for us."""
        return False

    def largest(self, guests: Sequence[GuestProcess]) -> GuestProcess:
        """Not asked: the kernel has its own mind."""
        return guests[-1]

    def bury(self, guests: Sequence[GuestProcess]) -> None:
        """Forget where the guests' memory was; the kernel has taken it back."""
        for guest in guests:
            self.release(guest)

    def free_ksmd(self) -> AbstractContextManager[Running]:
        """The kernel's ksmd runs by its tunables inside."""
        return self.ksmd.free()

    def figures(self) -> Figures:
        """Counted from page maps and contents, from outside the guests."""
        self._look_for_intruders()
        seen = self._look()
        free_zeros = bool(self.ksmd.get("use_zero_pages"))
        return figures_of(seen, mappings_of(seen, self._guests), free_zeros, self.ksmd.breaks(), self._huge(seen))

    def _huge(self, seen: Look) -> Mapping[str, int]:
        if self._huge_pages == "never":
            return {}
        sights = seen.sights.values()
        zeros, huge = sum(sight.other_zeros for sight in sights), sum(sight.huge for sight in sights)
        return {"split_zero_pages": zeros, "huge_pages": huge}

    def most_used(self, freely: bool) -> tuple[int, int] | None:
        """Nobody counts what a real machine uses for these guests between two samples."""
        return None

    def mappings(self) -> Mappings:
        """Counted from page maps, from outside the guests."""
        return mappings_of(self._look(), self._guests)

    def _look(self) -> Look:
        return look({space.mm: space.visible for space in self.spaces.values()}, self._hasher)

    def _look_for_intruders(self) -> None:
        """Tell, once each, of other processes whose memory ksmd scans too."""
        ours = {space.pid for space in self.spaces.values()}
        for pid in set(mergeable_processes()) - ours - self._intruders:
            self._intruders.add(pid)
            self._note(
                f"process {pid} ({process_name(pid)}) has mergeable memory now, which ksmd scans too: "
                "KSM's counters are not the guests' alone"
            )

    def pass_time(self, nanoseconds: int) -> None:
        """Nothing: what this machine does by itself it does without being told."""

    def give_back(self) -> None:
        """Nothing: what a process frees is free."""

    def close(self) -> None:
        """Let go of what counting and ksmd's clock hold."""
        self._hasher.close()
        self.ksmd.close()


def check(scenario: Scenario) -> None:
    """EnvironmentLacksError, HostError, UsageError: why this machine's kernel cannot run the scenario."""
    if not scenario.policy.is_plain:
        raise UsageError("the kernel has its own ksmd only; leave the policy out, or use the emulator")
    if scenario.ksm.kernel is not None:
        raise UsageError("ksm.kernel: the version is that of this machine's kernel; leave it out, or use the emulator")
    require_root()
    files = KsmFiles()
    try:
        require_ksm(files)
    finally:
        files.close()
    if os.sysconf("SC_PAGE_SIZE") != PAGE_SIZE:
        raise EnvironmentLacksError(f"guests have pages of {PAGE_SIZE} bytes, this kernel others; use the emulator")
    if scenario.host.pages != "bytes":
        raise UsageError("pages: the kernel has bytes only; leave it out, or use the emulator")
    if (scenario.host.guests_per_worker or 1) > 1:
        raise UsageError("guests_per_worker: to the kernel a guest is a process; leave it out, or use the emulator")
    if scenario.host.numa_nodes > 1:
        raise UsageError("numa_nodes: the kernel's nodes are this machine's; leave it out, or use the emulator")
    wanted, room = scenario.pages * PAGE_SIZE, int(available_memory().bytes * _ROOM)
    if scenario.host.memory is not None and scenario.host.memory < wanted:
        raise UsageError("host.memory: the kernel's memory is this machine's; leave it out, or use the emulator")
    if wanted > room:
        raise HostError(
            f"the guests have {format_size(wanted)} before anything is merged, but only {format_size(room)} can be "
            "taken here; run fewer or smaller guests, or use the emulator"
        )
    need_guests(scenario.guest_count, scenario.guest_count)


@contextmanager
def opened(scenario: Scenario, logs: LogChannel, room: HostRoom | None, note: Note) -> Iterator[Kernel]:
    """The kernel's KSM for this run alone, told its tunables; they are as before afterwards, also if this process is
    killed. room: nothing, this machine is the host.

    EnvironmentLacksError: no root, no KSM, somebody else uses it, or has mergeable memory.
    """
    start_workers(scenario.policy.name)
    with ExitStack() as stack:
        kernel = Kernel(stack.enter_context(KsmSession()), scenario.guest_count, logs, scenario.host.huge_pages)
        stack.callback(kernel.close)
        write_tunables(scenario, kernel.ksmd, note)
        yield kernel
