"""Guests as the parent process sees them: each in a worker process, its own or a crew's, from a fork server with
everything loaded.

new ──start──► running ◄──pause, resume──► paused       begin_tick, finish_tick: a slice of virtual time
                │  ▲ └──leave──► left                    run_free, stop_free: wall time
        run_free│  │stop_free
                ▼  │
                free                                     dead: killed, or broken down; from any state
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

import vmdedup.errors
from vmdedup.errors import GuestError, VmdedupError
from vmdedup.guest.crew import Crew, Posting
from vmdedup.guest.spec import GuestSpec
from vmdedup.guest.stats import GuestStats
from vmdedup.host.logs import LogChannel

if TYPE_CHECKING:
    from vmdedup.guest.disk import Disk
    from vmdedup.guest.memory import MemoryProvider

_LEAVE_SECONDS = 5.0


@dataclass(frozen=True)
class Assignment:
    """What a worker is given to boot a guest: which one, in which address space of its host."""

    spec: GuestSpec
    mm: int


class GuestProcess:
    """A guest in a worker process, commanded over its pipe.

    spec: the guest. mm: its address space, spec.memory_pages large. crew: the process, and who else lives there.
    state: "new", "running", "paused", "free", "left" or "dead". stats: what it said last.

    A method that finds the worker dead sets the state to "dead" and raises GuestError; so does one whose
    command failed in the worker, where the guest is ended then. What a dead guest had is for the host to take back.
    """

    def __init__(
        self,
        spec: GuestSpec,
        host: MemoryProvider,
        mm: int,
        disk: Disk,
        *,
        logs: LogChannel | None = None,
        relief: Callable[[GuestProcess], None] | None = None,
        crew: Crew | None = None,
    ) -> None:
        """host: where it has its memory. disk: open_disk(spec.disk).

        relief: called where a guest of its crew has to wait for memory, every other one standing; it ends with
        go_on(), or with that guest's death. crew: where it is to live, whose posting has the host and the disk; None:
        in a process of its own.
        """
        self.spec = spec
        self.mm = mm
        self.state = "new"
        self.stats = GuestStats(spec.name, "off", memory_pages=spec.memory_pages)
        self.crew = crew or Crew(Posting(host, {spec.disk: disk}, logs, relief is not None), spec.name)
        self._relief = relief
        self._verified = 0
        self._trouble: VmdedupError | None = None  # what ended it, until it is told

    # Life

    def start(self) -> None:
        """Let it power on, in a worker that is started if it is the first there; ready() waits for that."""
        self._need("new")
        self.crew.enrol(self)
        self.state = "running"
        self._send("boot", Assignment(self.spec, self.mm))

    def ready(self) -> GuestStats:
        """Wait until the guest has done what it was told, powering on to begin with."""
        while self.stand():
            assert self._relief is not None
            self._relief(self.crew.starving)  # type: ignore[arg-type]
            if self.state == "dead" and self._trouble is None:
                raise GuestError(f"guest {self.spec.name!r} was killed: its host has no memory left")
        return self.stats

    def stand(self) -> bool:
        """Wait until the guest has done what it was told, or can't go on without memory, it or another of its crew.

        Returns whether it can't.
        """
        starving = self.state not in ("new", "left", "dead") and self.crew.stand()
        self._tell_trouble()
        return starving

    @property
    def starved(self) -> int:
        """Pages that it waits for."""
        return self.crew.wanted if self.crew.starving is self else 0

    @property
    def is_troubled(self) -> bool:
        """Whether it is dead, and nobody was told why yet: stand() tells."""
        return self._trouble is not None

    def go_on(self) -> None:
        """There is memory again: let the guest try once more."""
        self.crew.go_on()
        self._tell_trouble()

    def begin_tick(self, ms: float) -> None:
        """Let the guest live for ms milliseconds of virtual time, while others do; finish_tick() waits."""
        self._need("running")
        self.ready()
        self._send("tick", ms)

    def finish_tick(self) -> GuestStats:
        """Wait for the end of the tick that was begun."""
        return self.ready()

    def tick(self, ms: float) -> GuestStats:
        """Both in one."""
        self.begin_tick(ms)
        return self.finish_tick()

    def pause(self) -> None:
        """The guest does nothing until it is resumed; its memory stays. If running free it is stopped."""
        if self.state == "free":
            self.stop_free()
        self._need("running")
        self.ready()
        self.state = "paused"

    def resume(self) -> None:
        """The guest may be ticked, or run free, again."""
        self._need("paused")
        self.state = "running"

    def reboot(self) -> GuestStats:
        """Start the guest's system again, at once; it goes on in the state in which it was."""
        return self._while_standing("reboot")

    def aim_balloon(self, mib: float) -> GuestStats:
        """Have the guest's balloon leave it so much memory from now on; 0: all."""
        return self._while_standing("balloon", mib)

    def leave(self) -> GuestStats:
        """Power off, give all memory back and end the worker."""
        if self.state == "free":
            self.stop_free()
        self._need("running", "paused")
        self.ready()
        self._send("leave")
        last = self.ready()
        self.state = "left"
        if self.crew.lives_alone(self):
            self.join(_LEAVE_SECONDS)
        self.crew.part(self)
        return last

    def verify(self) -> int:
        """Let the guest read back all that it knows; see Guest.verify. Returns pages verified."""
        before = self.stats
        self._while_standing("verify")
        verified, self.stats = self._verified, before
        return verified

    # Wall time

    def run_free(self) -> None:
        """Let the guest live in wall time until stop_free(). GuestError: others live in its process."""
        self._need("running")
        self.ready()
        if not self.crew.lives_alone(self):
            raise GuestError(f"guest {self.spec.name!r} cannot run free: it shares its process; give it one of its own")
        self._send("free")
        self.crew.expect_nothing()
        self.state = "free"

    def stop_free(self) -> GuestStats:
        """End running free; the guest stands still then."""
        self.halt()
        return self.ready()

    def halt(self) -> None:
        """As stop_free, which waits for it, too."""
        self._need("free")
        self._send("stop")
        self.state = "running"

    def is_calling(self) -> bool:
        """Whether it says something unasked while it runs free: that it waits for memory."""
        return self.state == "free" and self.pipe.poll(0)

    def peek(self) -> GuestStats:
        """What it says of itself if it runs free, or else what it said last. Finds out if it is dead."""
        if self.state == "free":
            self._send("peek")
            return self.ready()
        if self.state in ("running", "paused"):
            self.crew.find_dead()
            self._tell_trouble()
        return self.stats

    # The process

    @property
    def pid(self) -> int | None:
        """The worker's process id; None before start()."""
        return self._process.pid if self._process is not None else None

    @property
    def sentinel(self) -> int | None:
        """A descriptor that becomes readable when the worker ends; None before start()."""
        return self._process.sentinel if self._process is not None else None

    @property
    def pipe(self) -> Connection:
        """Readable when its crew says something."""
        return self.crew.pipe

    @property
    def exitcode(self) -> int | None:
        """The worker's exit status, negative if a signal ended it; None while it lives."""
        return self._process.exitcode if self._process is not None else None

    @property
    def _process(self) -> BaseProcess | None:
        return self.crew.process

    def is_alive(self) -> bool:
        """Whether the worker lives."""
        return self._process is not None and self._process.is_alive()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the worker's end, at most timeout seconds."""
        if self._process is not None:
            self._process.join(timeout)

    def kill(self) -> None:
        """End the guest at once, whatever it does; if it is the last of its crew, by ending the worker (SIGKILL)."""
        if self.state not in ("left", "dead"):
            self.state = "dead"
            self.crew.part(self)

    # The pipe

    def _while_standing(self, command: str, argument: object = None) -> GuestStats:
        free = self.state == "free"
        if free:
            self.stop_free()
        self._need("running", "paused")
        self.ready()
        self._send(command, argument)
        answer = self.ready()
        if free:
            self.run_free()
        return answer

    def _need(self, *states: str) -> None:
        self._tell_trouble()
        if self.state not in states:
            raise GuestError(f"guest {self.spec.name!r} is {self.state}, not {' or '.join(states)}")

    def _send(self, command: str, argument: object = None) -> None:
        """Tell it to do something; there will be an answer."""
        self.crew.order(self.mm, command, argument)
        self._tell_trouble()

    def _tell_trouble(self) -> None:
        if self._trouble is not None:
            trouble, self._trouble = self._trouble, None
            raise trouble

    def hear(self, outcome: tuple[Any, ...]) -> None:
        """See guest.crew.Member."""
        if outcome[0] == "failed":
            self.kill()
            self._trouble = _error(*outcome[1:])
        elif isinstance(outcome[1], GuestStats):
            self.stats = outcome[1]
        elif outcome[1] is not None:
            self._verified = outcome[1]

    def fall(self, how: str) -> None:
        """See guest.crew.Member."""
        self.state = "dead"
        self._trouble = GuestError(f"guest {self.spec.name!r} died: its worker process {how}")


def _error(name: str, message: str) -> VmdedupError:
    kind = getattr(vmdedup.errors, name, GuestError)
    try:
        error = kind(message)
    except TypeError:
        return GuestError(message)
    return error if isinstance(error, VmdedupError) else GuestError(message)
