"""The emulator: an emulated host, and its ksmd, or another policy, in a process of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Final

from vmdedup.guest.crew import Crew, Posting
from vmdedup.guest.disk import Disk
from vmdedup.guest.diskspec import DiskSpec
from vmdedup.guest.spec import GuestSpec
from vmdedup.guest.vm import GuestProcess
from vmdedup.host.layout import CTL_HINTS, HUGE, MAPPED, MERGEABLE
from vmdedup.host.logs import LogChannel
from vmdedup.host.memory import Host
from vmdedup.late import load
from vmdedup.limits import cores
from vmdedup.policy.table import policy_label
from vmdedup.run.backend.base import Note, Running, Standing, need_guests, write_tunables
from vmdedup.run.backend.counting import BreakCounter, ContentCounter, host_mappings, saved_pages
from vmdedup.run.measure.accounting import Mappings
from vmdedup.run.measure.host import Figures
from vmdedup.run.room import HostRoom, host_room
from vmdedup.run.warm import start_workers
from vmdedup.scanner.guarded import GuardedScanner
from vmdedup.scanner.process import Order, ScannerProcess
from vmdedup.scenario.model import Scenario
from vmdedup.scenario.policy import policy_kind
from vmdedup.units import MIB, PAGE_SIZE

if TYPE_CHECKING:
    from vmdedup.run.backend.pressure import Pressure

_WORTH_RETURNING = 64 * MIB
_FINGERPRINTS: Final = {"page_size": 8, "stands_for": PAGE_SIZE}  # of Host.create


class Emulator:
    """Fills run.backend.base.Backend."""

    relief: Callable[[GuestProcess], None]
    disks: Mapping[DiskSpec, Disk]

    def __init__(self, host: Host, ksmd: GuardedScanner, logs: LogChannel, scenario: Scenario, room: HostRoom) -> None:
        self.host, self.ksmd = host, ksmd
        self._logs, self._room, self._policy = logs, room, scenario.policy
        self._note: Note = lambda text: None
        self._apart = threading.RLock()
        self._has_columns = scenario.host.memory is not None or scenario.host.swap is not None
        self._is_free = scenario.clock == "wall"
        self._pressure = self._begin_pressure() if self._has_columns else None
        self._forms = None if scenario.policy.is_plain else load("vmdedup.run.backend.forms:Forms")(host)
        self._crews: list[Crew | None] = [None] * scenario.workers(cores())
        self._admitted = 0
        self._breaks, self._contents = BreakCounter(), ContentCounter()
        has_huge = scenario.host.huge_pages != "never"
        self._huge = load("vmdedup.run.backend.huge:HugePages")(host, scenario.host) if has_huge else None

    def about(self) -> Mapping[str, Any]:
        """Who scans, and what the host got."""
        return {
            "backend": "emulator",
            "policy": policy_label(self._policy.name),
            "is_bound": self.ksmd.kind.is_bound,
            "host": self._room.document,
            **({"killed": self._pressure.kills} if self._pressure is not None else {}),
        }

    def meet(self, standing: Standing, note: Note) -> None:
        """Be told how to have every guest stand; a ksmd that has died is started again meanwhile."""
        self.ksmd.standing, self.ksmd.note = lambda: self._alone(standing), note
        self._note = note

    @contextmanager
    def _alone(self, standing: Standing) -> Iterator[None]:
        """Inside, every guest stands, and so does the host: in real time it may be another thread that asks for it."""
        with self._apart, standing():
            yield

    def admit(self, spec: GuestSpec) -> GuestProcess:
        """A new guest, started, in an address space of the host."""
        bits = MAPPED | MERGEABLE | (HUGE if spec.huge_pages else 0)
        mm = self.host.claim(spec.memory_pages, spec.name, spec.node, bits, spec.domain)
        if spec.mergeable:
            self.ksmd.enter(mm)
        else:
            self.host.memory(mm).unmergeable(0, spec.memory_pages - 1)
        disk = self.disks[spec.disk]
        guest = GuestProcess(
            spec, self.host, mm, disk, logs=self._logs, relief=self.relief, crew=self._next_crew(spec.name)
        )
        try:
            guest.start()
        except BaseException:
            guest.kill()
            raise
        return guest

    def _next_crew(self, name: str) -> Crew:
        """Where the next guest lives: one in each process, and then another, so that alike guests are spread."""
        place = self._admitted % len(self._crews)
        self._admitted += 1
        crew = self._crews[place]
        if crew is None or crew.is_over:
            crew = Crew(Posting(self.host, self.disks, self._logs, waits=True), name)
            self._crews[place] = crew
        return crew

    def release(self, guest: GuestProcess) -> None:
        """Have ksmd forget the guest's pages when it comes by."""
        if guest.spec.mergeable:
            self.ksmd.exit(guest.mm)
        else:
            self.host.release(guest.mm)

    def move(self, guest: GuestProcess, node: int) -> int:
        """Who scans does it, as it has to know where its frames go."""
        return self.ksmd.relocate(guest.mm, node)

    def _begin_pressure(self) -> Pressure:
        pressure: Pressure = load("vmdedup.run.backend.pressure:Pressure")(self.host, self._is_free)
        return pressure

    @property
    def pressure(self) -> Pressure:
        """What is done where memory is short; loaded when it is first."""
        if self._pressure is None:
            self._pressure = self._begin_pressure()
        return self._pressure

    def in_use(self) -> int:
        """Frames that hold somebody's bytes."""
        return self.host.frames_in_use() - (self._pressure.reserved if self._pressure is not None else 0)

    def time_left(self, guest: GuestProcess, nanoseconds: int) -> int:
        """All but what it waits for memory that it has had."""
        return nanoseconds if self._pressure is None else self._pressure.waiting.time_left(guest.mm, nanoseconds)

    def can_be_full(self, pages: Iterable[int]) -> bool:
        """Whether they have more memory than the host, and a frame each for a copy."""
        return sum(each + 1 for each in pages) > self.host.capacity

    def find_memory(self, guest: GuestProcess) -> bool:
        """Reclaim some, if there is none."""
        return self.pressure.find_memory(guest.mm, guest.starved)

    def largest(self, guests: Sequence[GuestProcess]) -> GuestProcess:
        """Who is killed where nothing is left; it is noted, with why the host is as small as it is."""
        return self.pressure.largest(guests, self._note, self._room.note)

    def bury(self, guests: Sequence[GuestProcess]) -> None:
        """Take back what dead guests had: host memory is counted afresh."""
        for guest in guests:
            self.host.bury(guest.mm)
        if guests:
            self.host.recover()
        for guest in guests:
            self.release(guest)
        if self._pressure is not None:
            self._pressure.bury([guest.mm for guest in guests])

    def free_ksmd(self) -> AbstractContextManager[Running]:
        """A thread drives ksmd inside."""
        freely = load("vmdedup.scanner.free:FreeScanner")
        running: AbstractContextManager[Running] = freely(self.ksmd, self._policy.cpu)
        return running

    def figures(self) -> Figures:
        """Counted from the host's page tables and frames."""
        allocated_by_guest, placed_by_guest = self.host.allocated()
        allocated, placed = int(allocated_by_guest.sum()), int(placed_by_guest.sum())
        zero, within, between = saved_pages(self.host)
        free_zeros = bool(self.ksmd.get("use_zero_pages"))
        return Figures(
            allocated=allocated,
            used=self.in_use(),
            zero=zero + placed,
            within=within,
            between=between,
            possible=self.possible(allocated, placed, free_zeros),
            breaks=self.breaks(),
            further=self.further(),
        )

    def possible(self, allocated: int, zero_placed: int, zeros_are_free: bool) -> int:
        """measure.accounting.possible_pages, while all stand."""
        return self._contents.possible(self.host, allocated, zero_placed, zeros_are_free)

    def breaks(self) -> int:
        """Writes that found a merged page and got a copy, so far."""
        return self._breaks.total(self.host)

    def further(self) -> dict[str, int | float]:
        """Columns that not all runs have."""
        further = dict(self._forms.figures()) if self._forms is not None else {}
        if self._huge is not None:
            further |= self._huge.figures()
        if self._has_columns:
            further |= self.pressure.figures()
        return further

    def most_used(self, freely: bool) -> tuple[int, int] | None:
        """The host's own mark; in lockstep only where it is all, since a copy's frame may be taken before another is
        given back, or after."""
        most, there = self.host.frames_at_most(), self.host.capacity
        kept = self._pressure.reserved if self._pressure is not None else 0
        return (most if freely or most >= there else self.host.frames_in_use()) - kept, there - kept

    def mappings(self) -> Mappings:
        """Counted from the host's page tables."""
        return host_mappings(self.host, self._forms.stored() if self._forms is not None else None)

    def pass_time(self, nanoseconds: int) -> None:
        """khugepaged's and kswapd's part of that time."""
        with self._apart:
            if self._huge is not None:
                self._huge.pass_time(nanoseconds)
            if self._pressure is not None:
                self._pressure.pass_time(nanoseconds)

    def give_back(self) -> None:
        """Punch holes where free frames are."""
        if self.host.has_fingerprints:
            return
        resident, page = self.host.segment.resident(), self.host.page_size
        if resident - self.host.frames_in_use() * page > max(_WORTH_RETURNING, resident // 8):
            self.host.trim()

    def close(self) -> None:
        """End ksmd, and let go of the host's memory."""
        self.ksmd.close()


def check(scenario: Scenario) -> HostRoom:
    """What the host gets. HostError: this machine cannot hold it. EnvironmentLacksError: too many guests."""
    need_guests(scenario.guest_count, scenario.workers(cores()))
    return host_room(scenario)


@contextmanager
def opened(scenario: Scenario, logs: LogChannel, room: HostRoom | None, note: Note) -> Iterator[Emulator]:
    """An emulated host, and who scans it, told its tunables. room: what the host gets, of check()."""
    assert room is not None
    start_workers(scenario.policy.name)
    kind = policy_kind(scenario)
    swap = scenario.host.swap
    host = Host.create(
        pages=scenario.pages,
        frames=room.frames + (load("vmdedup.run.backend.pressure:RESERVE") if swap else 0),
        mms=scenario.guest_count,
        nodes=scenario.host.numa_nodes,
        swap=swap.device if swap else kind.needs_swap,
        **_FINGERPRINTS if scenario.host.pages == "fingerprints" else {},
    )
    if kind.wants_hints:
        host.arrays.ctl[CTL_HINTS] = 1
    try:
        scanner = GuardedScanner(ScannerProcess(host, _order(scenario), logs))
        emulator = Emulator(host, scanner, logs, scenario, room)
        try:
            write_tunables(scenario, scanner, note)
            yield emulator
        finally:
            emulator.close()
    finally:
        host.close()


def _order(scenario: Scenario) -> Order:
    """Who scans, not told of its tunables yet. A host's ksmd rests until it is told to run; a policy need not be."""
    written = {"run": scenario.ksm.all_tunables()["run"]} if scenario.policy.is_plain else {}
    return Order(scenario.policy.name, scenario.seed, written, scenario.ksm.profile)
