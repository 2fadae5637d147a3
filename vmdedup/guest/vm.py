"""Guests as the parent process sees them: one worker process each, from a fork server with everything loaded.

new ──start──► running ◄──pause, resume──► paused       begin_tick, finish_tick: a slice of virtual time
                │  ▲ └──leave──► left                    run_free, stop_free: wall time
        run_free│  │stop_free
                ▼  │
                free                                     dead: killed, or broken down; from any state
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

import vmdedup.errors
from vmdedup.breakdown import WANTS_MEMORY
from vmdedup.errors import GuestError, VmdedupError
from vmdedup.guest.spec import GuestSpec
from vmdedup.guest.stats import GuestStats
from vmdedup.host.logs import LogChannel
from vmdedup.host.segment import NO_MEMORY
from vmdedup.host.workers import fork_server, start
from vmdedup.late import call

if TYPE_CHECKING:
    from vmdedup.guest.disk import Disk
    from vmdedup.guest.memory import MemoryProvider

PRELOAD = ("vmdedup.guest.preload",)
_LEAVE_SECONDS = 5.0
_SERVE = "vmdedup.guest.worker:serve"


@dataclass(frozen=True)
class Assignment:
    """What a worker is given: which guest, in which address space of which host, with which disk.

    waits: for the parent, where the host has no memory left; else that is an error.
    """

    spec: GuestSpec
    host: MemoryProvider
    mm: int
    disk: Disk
    logs: LogChannel | None = None
    waits: bool = False


class GuestProcess:
    """A guest in a worker process of its own, commanded over a pipe.

    spec: the guest. host, mm: its address space, spec.memory_pages large. disk: open_disk(spec.disk).
    state: "new", "running", "paused", "free", "left" or "dead". stats: what it said last.

    A method that finds the worker dead sets the state to "dead" and raises GuestError; so does one whose
    command failed in the worker, which is then ended. What a dead guest had is for the host to take back.
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
    ) -> None:
        """relief: called where the guest has to wait for memory, every other one standing; it ends with go_on(), or
        with the guest's death.
        """
        self.spec = spec
        self.mm = mm
        self.state = "new"
        self.stats = GuestStats(spec.name, "off", memory_pages=spec.memory_pages)
        self._assignment = Assignment(spec, host, mm, disk, logs, relief is not None)
        self._process: BaseProcess | None = None
        self._relief = relief
        self._waiting = 0
        self._verified = 0
        self.starved = 0  # pages that it waits for

    # Life

    def start(self) -> None:
        """Start the worker and let it power on; ready() waits for that."""
        self._need("new")
        context = fork_server(*PRELOAD)
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=call, args=(_SERVE, theirs, self._assignment), name=f"vmdedup-{self.spec.name}", daemon=True
        )
        start(self._process)
        theirs.close()
        self.state = "running"
        self._send("boot")

    def ready(self) -> GuestStats:
        """Wait until the guest is powered on."""
        while self.stand():
            assert self._relief is not None
            self._relief(self)
            if self.state == "dead":
                raise GuestError(f"guest {self.spec.name!r} was killed: its host has no memory left")
        return self.stats

    def stand(self) -> bool:
        """Wait until the guest has done what it was told, or can't go on without memory. Returns whether it can't."""
        while self._waiting and not self.starved:
            self._receive()
        return self.starved > 0

    def go_on(self) -> None:
        """There is memory again: let the guest try once more."""
        self.starved = 0
        self._tell("relieved")

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
        self.join(_LEAVE_SECONDS)
        self._end()
        return last

    def verify(self) -> int:
        """Let the guest read back all that it knows; see Guest.verify. Returns pages verified."""
        before = self.stats
        self._while_standing("verify")
        verified, self.stats = self._verified, before
        return verified

    # Wall time

    def run_free(self) -> None:
        """Let the guest live in wall time until stop_free()."""
        self._need("running")
        self.ready()
        self._send("free")
        self._waiting = 0
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
        return self.state == "free" and self._pipe.poll(0)

    def peek(self) -> GuestStats:
        """What it says of itself if it runs free, or else what it said last. Finds out if it is dead."""
        if self.state == "free":
            self._send("peek")
            return self.ready()
        if self._process is not None and self.state in ("running", "paused") and not self._process.is_alive():
            self._died()
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
        """Readable when it says something."""
        return self._pipe

    @property
    def exitcode(self) -> int | None:
        """The worker's exit status, negative if a signal ended it; None while it lives."""
        return self._process.exitcode if self._process is not None else None

    def is_alive(self) -> bool:
        """Whether the worker lives."""
        return self._process is not None and self._process.is_alive()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the worker's end, at most timeout seconds."""
        if self._process is not None:
            self._process.join(timeout)

    def kill(self) -> None:
        """End the worker at once, whatever it does (SIGKILL)."""
        if self.state not in ("left", "dead"):
            self.state = "dead"
            self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
        self._waiting = self.starved = 0

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
        if self.state not in states:
            raise GuestError(f"guest {self.spec.name!r} is {self.state}, not {' or '.join(states)}")

    def _send(self, command: str, argument: object = None) -> None:
        """Tell it to do something; there will be an answer."""
        self._tell(command, argument)
        self._waiting += 1

    def _tell(self, command: str, argument: object = None) -> None:
        try:
            self._pipe.send((command, argument))
        except (BrokenPipeError, ConnectionResetError):
            self._died()

    def _receive(self) -> None:
        assert self._process is not None
        ready = wait([self._pipe, self._process.sentinel])
        if self._pipe not in ready:
            self._died()
        try:
            answer = self._pipe.recv()
        except (EOFError, OSError):
            self._died()
        if answer[0] == "starved":
            self.starved = answer[1]
            return
        self._waiting -= 1
        if answer[0] == "failed":
            self.kill()
            raise _error(*answer[1:])
        if isinstance(answer[1], GuestStats):
            self.stats = answer[1]
        else:
            self._verified = answer[1]

    def _died(self) -> None:
        self.state = "dead"
        self._end()
        raise GuestError(f"guest {self.spec.name!r} died: its worker process {_ending(self.exitcode)}")


def _error(name: str, message: str) -> VmdedupError:
    kind = getattr(vmdedup.errors, name, GuestError)
    try:
        error = kind(message)
    except TypeError:
        return GuestError(message)
    return error if isinstance(error, VmdedupError) else GuestError(message)


def _ending(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"was ended by {signal.Signals(-exitcode).name}"
    if exitcode == NO_MEMORY:
        return f"ended: {WANTS_MEMORY}"
    return f"ended with status {exitcode}"
