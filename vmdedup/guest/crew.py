"""A worker process and the guests in it, as the parent sees them: one pipe, one answer to each message.

    GuestProcess ──orders──┐                             ┌── Guest
    GuestProcess ──orders──┼──► Crew ═══pipe═══ worker ──┼── Guest
    GuestProcess ──orders──┘                             └── Guest

A guest that waits for memory stops all of its crew, between two operations. A worker that dies takes its guests with
it, and no others.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, Final, Protocol

from vmdedup.breakdown import WANTS_MEMORY
from vmdedup.guest.diskspec import DiskSpec
from vmdedup.host.logs import LogChannel
from vmdedup.host.segment import NO_MEMORY
from vmdedup.host.workers import fork_server, start
from vmdedup.late import call

if TYPE_CHECKING:
    from vmdedup.guest.disk import Disk
    from vmdedup.guest.memory import MemoryProvider

PRELOAD: Final = ("vmdedup.guest.preload",)
_SERVE: Final = "vmdedup.guest.worker:serve"

Order = tuple[int, str, Any]  # whom, what, with what


@dataclass(frozen=True)
class Posting:
    """What a worker needs for any of its guests: host, disks by their specs, where its log records go.

    waits: for the parent, where the host has no memory left; else that is an error.
    """

    host: MemoryProvider
    disks: Mapping[DiskSpec, Disk]
    logs: LogChannel | None = None
    waits: bool = False


class Member(Protocol):
    """A guest of a crew."""

    mm: int

    def hear(self, outcome: tuple[Any, ...]) -> None:
        """What came of an order: ("done", answer) or ("failed", class of the error, message)."""

    def fall(self, how: str) -> None:
        """The worker has ended, and how that was."""


class Crew:
    """One worker process, started with its first guest. Guests are known by their address spaces.

    starving: who waits for memory, all others standing meanwhile; wanted: for how many pages.
    """

    def __init__(self, posting: Posting, name: str) -> None:
        self.posting = posting
        self.starving: Member | None = None
        self.wanted = 0
        self._name = name
        self._members: dict[int, Member] = {}
        self._process: BaseProcess | None = None
        self._waiting = 0  # answers to come

    def enrol(self, member: Member) -> None:
        """A guest will live here. WorkerDiedError: no process can be started."""
        if self._process is None:
            context = fork_server(*PRELOAD)
            self.pipe, theirs = context.Pipe()
            self._process = context.Process(
                target=call, args=(_SERVE, theirs, self.posting), name=f"vmdedup-{self._name}", daemon=True
            )
            start(self._process)
            theirs.close()
        self._members[member.mm] = member

    @property
    def is_over(self) -> bool:
        """Whether its process has been, and has no guest any more."""
        return self._process is not None and not self._members

    @property
    def process(self) -> BaseProcess | None:
        """The worker; None before the first guest."""
        return self._process

    # Orders

    def order(self, number: int, command: str, argument: object = None) -> None:
        """Have a guest do something; there will be an answer."""
        self._send([(number, command, argument)])

    def tell(self, number: int, command: str) -> None:
        """Say something that has no answer."""
        self._waiting -= 1
        self._send([(number, command, None)])

    def live(self, slices: Sequence[tuple[int, float]]) -> None:
        """Let guests, by number, live for so many milliseconds, all by one message."""
        self._send([(0, "live", slices)])

    def expect_nothing(self) -> None:
        """What was ordered last has no end before it is told to."""
        self._waiting = 0

    def _send(self, orders: list[Order]) -> None:
        """One message. That the worker is gone shows when its answer does not come."""
        self._waiting += 1
        try:
            self.pipe.send(orders)
        except (BrokenPipeError, ConnectionResetError):
            self._died()

    # Answers

    def stand(self) -> bool:
        """Wait until all that was ordered is done, or cannot go on without memory. Returns whether it can't."""
        while self._waiting > 0 and self.starving is None:
            self._receive()
        return self.starving is not None

    def go_on(self) -> None:
        """There is memory again."""
        member, self.starving, self.wanted = self.starving, None, 0
        if member is not None:
            self.tell(member.mm, "relieved")

    def _receive(self) -> None:
        assert self._process is not None
        if self.pipe not in wait([self.pipe, self._process.sentinel]):
            self._died()
            return
        try:
            said = self.pipe.recv()
        except (EOFError, OSError):
            self._died()
            return
        if said[0] == "starved":
            self.starving, self.wanted = self._members.get(said[1]), said[2]
            return
        self._waiting -= 1
        for number, outcome in said[1]:
            if (member := self._members.get(number)) is not None:
                member.hear(outcome)

    # The end

    def lives_alone(self, member: Member) -> bool:
        """Whether nobody else is here."""
        return list(self._members) == [member.mm]

    def part(self, member: Member) -> None:
        """A guest is here no more: it has left, or is to be gone at once. The last one ends the process."""
        if self._members.pop(member.mm, None) is None:
            return
        if not self._members:
            self.end()
            return
        if self.starving is member:
            self.starving, self.wanted = None, 0
        self.tell(member.mm, "drop")

    def end(self) -> None:
        """Kill the process, and wait for its end."""
        if self._process is not None and not self.pipe.closed:
            self._process.kill()
            self._process.join()
            self.pipe.close()
        self._waiting, self.starving, self.wanted = 0, None, 0

    def find_dead(self) -> None:
        """Find out whether the worker has ended by itself."""
        if self._process is not None and self._members and not self._process.is_alive():
            self._died()

    def _died(self) -> None:
        self.end()
        assert self._process is not None
        how = _ending(self._process.exitcode)
        members, self._members = list(self._members.values()), {}
        for member in members:
            member.fall(how)


def crews_of(members: Iterable[HasCrew]) -> list[Crew]:
    """Their crews, each once."""
    return list(dict.fromkeys(member.crew for member in members))


class HasCrew(Protocol):
    """Who lives in one."""

    @property
    def crew(self) -> Crew:
        """The process that it lives in, and who lives there too."""


def _ending(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"was ended by {signal.Signals(-exitcode).name}"
    if exitcode == NO_MEMORY:
        return f"ended: {WANTS_MEMORY}"
    return f"ended with status {exitcode}"
