"""What a run asks of the place where its guests have their memory.

    Recorder ──figures, mappings──► Emulation ──admit, release, bury, figures, mappings──► Backend
                                        └──ticks──► GuestProcess
                                     clock ──batches──► Scanner, the backend's ksmd

A policy of one's own plugs in here: with a Scanner of its own, or as a whole backend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from vmdedup.errors import KnobError
from vmdedup.guest.disk import Disk
from vmdedup.guest.diskspec import DiskSpec
from vmdedup.guest.spec import GuestSpec
from vmdedup.guest.vm import GuestProcess
from vmdedup.limits import need_descriptors
from vmdedup.run.measure.accounting import Mappings
from vmdedup.run.measure.host import Figures
from vmdedup.scenario.model import Scenario
from vmdedup.scenario.policy import explicit, inherited

if TYPE_CHECKING:
    from vmdedup.scanner.protocol import Scanner

Note = Callable[[str], None]
Standing = Callable[[], AbstractContextManager[None]]


_DESCRIPTORS = 4  # of a guests' process in this one: its pipe, its sentinel and life line, one to spare


def need_guests(count: int, workers: int) -> None:
    """Before anything is started, which has the limit too. EnvironmentLacksError: so many cannot be had."""
    need_descriptors(
        _DESCRIPTORS * workers, f"{count} guests" + (f" in {workers} processes" if workers < count else "")
    )


def write_tunables(scenario: Scenario, scanner: Scanner, note: Note) -> None:
    """Tell who scans what the scenario says. What [ksm] says to all, and another policy refuses, is noted and left."""
    for knob, text in inherited(scenario).items():
        try:
            scanner.set(knob, text)
        except KnobError as error:
            if scenario.policy.is_plain:
                raise
            note(f"{scenario.policy.name}: {error}; it keeps {scanner.get(knob)}")
    for knob, text in explicit(scenario).items():
        scanner.set(knob, text)


class Running(Protocol):
    """A ksmd that runs freely."""

    def standing(self) -> AbstractContextManager[None]:
        """Inside, it may be asked, and told, things, and guests may come and go."""


class Backend(Protocol):
    """Guests' memory, and the ksmd that scans it."""

    relief: Callable[[GuestProcess], None]
    """Called where a guest waits for memory, every other one standing; set before guests are admitted."""

    disks: Mapping[DiskSpec, Disk]
    """Of all guests, by their specs; set before guests are admitted."""

    def about(self) -> Mapping[str, Any]:
        """What run.json says of it: backend, its name; policy, who scans; is_bound, whether that is a bound only."""

    @property
    def ksmd(self) -> Scanner:
        """Who scans."""

    def meet(self, standing: Standing, note: Note) -> None:
        """Be told how to have every guest stand between two operations, and who hears what happens."""

    def admit(self, spec: GuestSpec) -> GuestProcess:
        """A new guest, started. Its memory is scanned from now on, after that of all guests admitted before."""

    def release(self, guest: GuestProcess) -> None:
        """A guest has left, and given its memory back."""

    def move(self, guest: GuestProcess, node: int) -> int:
        """Take a guest to a NUMA node, while every guest stands. Returns how many of its pages' frames stay."""

    def time_left(self, guest: GuestProcess, nanoseconds: int) -> int:
        """How much of a tick a guest lives: all but what it waits for memory that it has had."""

    def can_be_full(self, pages: Iterable[int]) -> bool:
        """Whether guests of these sizes can fill the host."""

    def find_memory(self, guest: GuestProcess) -> bool:
        """See to it that the host has memory for a guest that waits for it. False: there is none to be had."""

    def largest(self, guests: Sequence[GuestProcess]) -> GuestProcess:
        """Who is killed where nothing is left, by the host's rules; it is noted."""

    def bury(self, guests: Sequence[GuestProcess]) -> None:
        """Take back what dead guests had, while every other one stands."""

    def free_ksmd(self) -> AbstractContextManager[Running]:
        """ksmd scans by itself, in real time, inside."""

    def figures(self) -> Figures:
        """What is counted for a row of the series. Exact while nobody runs."""

    def most_used(self, freely: bool) -> tuple[int, int] | None:
        """How many frames have been in use, and how many there are; None: nobody counts them.

        freely: at most so far, whoever was faster; else now, or all if they have been: the same in each run.
        """

    def mappings(self) -> Mappings:
        """Who maps what now. Exact while nobody runs."""

    def pass_time(self, nanoseconds: int) -> None:
        """Do what the host does by itself in that time, apart from ksmd. The same in each run while nobody runs."""

    def give_back(self) -> None:
        """Return unused memory to the system if it is much, while nobody runs."""
