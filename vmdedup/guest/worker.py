"""The worker process of a guest: takes commands from a pipe until it is told to leave or its parent is gone.

    parent → worker   (command, argument)
    worker → parent   ("done", answer) or ("failed", class of the error, message): one for each command, in
    order; meanwhile, if the assignment says that it waits for memory, ("starved", pages): nothing happens until
    the parent says ("relieved", None)

Only workers, and the server that forks them, load this file (guest.preload).
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from vmdedup.breakdown import in_a_line
from vmdedup.errors import VmdedupError
from vmdedup.guest.stats import GuestStats
from vmdedup.host.workers import settle

if TYPE_CHECKING:
    from vmdedup.guest.machine import Guest
    from vmdedup.guest.revived import RevivedGuest
    from vmdedup.guest.vm import Assignment

_FREE_MS = 5.0
_ORPHAN_SECONDS = 5.0
_log = logging.getLogger(__name__)


def serve(pipe: Connection, assignment: Assignment) -> None:
    """The whole life of a worker process."""
    settle()
    if assignment.logs is not None:
        assignment.logs.attach()
    try:
        _Worker(pipe, assignment).run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        time.sleep(_ORPHAN_SECONDS)  # the parent is gone, and the thread that settle() started ends this process


class _Worker:
    def __init__(self, pipe: Connection, assignment: Assignment) -> None:
        self._pipe = pipe
        self._assignment = assignment
        self._left = False
        self._later: deque[tuple[str, Any]] = deque()  # what was said to it while it waited for memory
        self._commands: dict[str, Callable[[Any], object]] = {
            "boot": self._boot,
            "tick": lambda ms: self._guest.tick(ms),
            "stats": lambda _: self._guest.stats(),
            "reboot": self._reboot,
            "verify": lambda _: self._guest.verify(),
            "free": self._run_free,
            "balloon": self._aim_balloon,
            "leave": self._leave,
        }

    def run(self) -> None:
        while not self._left:
            command, argument = self._next()
            self._pipe.send(self._outcome(command, argument))

    def _next(self) -> tuple[str, Any]:
        """The next command."""
        said: tuple[str, Any] = self._later.popleft() if self._later else self._pipe.recv()
        return said

    def _starve(self, pages: int) -> None:
        """Wait until the host has memory again."""
        self._pipe.send(("starved", pages))
        while True:
            command, argument = self._pipe.recv()
            if command == "relieved":
                return
            self._later.append((command, argument))

    def _outcome(self, command: str, argument: object) -> tuple[object, ...]:
        try:
            return "done", self._commands[command](argument)
        except VmdedupError as error:
            return "failed", type(error).__name__, str(error)
        except MemoryError as error:
            return "failed", "HostError", f"guest {self._assignment.spec.name!r}: {in_a_line(error)}"
        except Exception as error:
            _log.exception("guest %s broke down", self._assignment.spec.name)
            name = self._assignment.spec.name
            return "failed", "GuestError", f"guest {name!r} broke down: {type(error).__name__}: {error}"

    def _boot(self, _: object) -> GuestStats:
        given = self._assignment
        self._guest = _guest(given, self._starve if given.waits else None)
        self._guest.boot()
        return self._guest.stats()

    def _reboot(self, _: object) -> GuestStats:
        self._guest.reboot()
        return self._guest.stats()

    def _aim_balloon(self, mib: Any) -> GuestStats:
        self._guest.aim_balloon(mib)
        return self._guest.stats()

    def _leave(self, _: object) -> GuestStats:
        self._guest.leave()
        self._left = True
        return self._guest.stats()

    def _run_free(self, _: object) -> GuestStats:
        """Live in wall time until the parent says stop; answer when it peeks."""
        then = time.monotonic()
        while True:
            if self._later or self._pipe.poll(0):
                command, _ = self._next()
                if command != "peek":
                    return self._guest.stats()
                self._pipe.send(("done", self._guest.stats()))
            now = time.monotonic()
            eager = self._guest.live(1000.0 * (now - then))
            then = now
            if not eager:
                self._pipe.poll(max(0.0, then + _FREE_MS / 1000.0 - time.monotonic()))


def _guest(given: Assignment, relief: Callable[[int], None] | None) -> Guest | RevivedGuest:
    from vmdedup.guest.machine import Guest
    from vmdedup.guest.revived import RevivedGuest

    memory = given.host.memory(given.mm)
    if relief is not None:
        memory.relief = relief
    return Guest(given.spec, memory, given.disk) if given.spec.image is None else RevivedGuest(given.spec, memory)
