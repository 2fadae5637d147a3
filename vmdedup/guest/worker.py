"""The worker process of one guest, or of a crew: takes orders from a pipe until all have left or its parent is gone.

    parent → worker   [(guest, command, argument), …]: guests by their address spaces
    worker → parent   ("done", [(guest, outcome), …]) for each message, in order; an outcome is ("done", answer) or
    ("failed", class of the error, message). Meanwhile, if the posting says that it waits for memory,
    ("starved", guest, pages): nothing happens then until the parent says (guest, "relieved", None)

"relieved" and "drop", which takes a guest away whatever it does, come alone and have no answer. An order to guest 0 is
for several: "live" has a list of guests and milliseconds, and an outcome for those only that fail.

Only workers, and the server that forks them, load this file (guest.preload).
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from vmdedup.breakdown import in_a_line
from vmdedup.errors import VmdedupError
from vmdedup.guest.stats import GuestStats
from vmdedup.host.workers import settle

if TYPE_CHECKING:
    from vmdedup.guest.crew import Order, Posting
    from vmdedup.guest.machine import Guest
    from vmdedup.guest.revived import RevivedGuest
    from vmdedup.guest.vm import Assignment

_FREE_MS = 5.0
_ORPHAN_SECONDS = 5.0
_log = logging.getLogger(__name__)

Outcome = tuple[object, ...]


def serve(pipe: Connection, posting: Posting) -> None:
    """The whole life of a worker process."""
    settle()
    if posting.logs is not None:
        posting.logs.attach()
    try:
        _Worker(pipe, posting).run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        time.sleep(_ORPHAN_SECONDS)  # the parent is gone, and the thread that settle() started ends this process


class _DroppedError(Exception):
    """A guest is taken away while it waits for memory."""


class _Worker:
    def __init__(self, pipe: Connection, posting: Posting) -> None:
        self._pipe = pipe
        self._posting = posting
        self._guests: dict[int, Guest | RevivedGuest] = {}
        self._names: dict[int, str] = {}
        self._left = False
        self._later: deque[Sequence[Order]] = deque()  # what was said to it while it waited for memory
        self._commands: dict[str, Callable[[int, Any], object]] = {
            "boot": self._boot,
            "tick": lambda number, ms: self._guests[number].tick(ms),
            "stats": lambda number, _: self._guests[number].stats(),
            "reboot": self._reboot,
            "verify": lambda number, _: self._guests[number].verify(),
            "free": self._run_free,
            "balloon": self._aim_balloon,
            "leave": self._leave,
        }

    def run(self) -> None:
        while not self._left:
            orders = self._next()
            if orders[0][1] == "drop":
                self._forget(orders[0][0])
            else:
                self._pipe.send(("done", self._outcomes(orders)))

    def _next(self) -> Sequence[Order]:
        """The next message."""
        said: Sequence[Order] = self._later.popleft() if self._later else self._pipe.recv()
        return said

    def _forget(self, number: int) -> None:
        self._guests.pop(number, None)
        self._names.pop(number, None)

    def _starve(self, starving: int, pages: int) -> None:
        """Wait until the host has memory again. _DroppedError: this guest will not have any."""
        self._pipe.send(("starved", starving, pages))
        while True:
            orders = self._pipe.recv()
            number, command, _ = orders[0]
            if command == "relieved":
                return
            if command != "drop":
                self._later.append(orders)
                continue
            self._forget(number)
            if number == starving:
                raise _DroppedError

    # Orders

    def _outcomes(self, orders: Sequence[Order]) -> list[tuple[int, Outcome]]:
        """What comes of a message. Guests that fail, or are taken away meanwhile, are here no more."""
        found: list[tuple[int, Outcome]] = []
        for number, command, argument in orders:
            if command == "live":
                for each, ms in argument:
                    self._outcome(each, self._live, ms, found)
            else:
                self._outcome(number, self._commands[command], argument, found)
        return found

    def _live(self, number: int, ms: float) -> None:
        self._guests[number].advance(ms)

    def _outcome(
        self, number: int, command: Callable[[int, Any], object], argument: object, found: list[tuple[int, Outcome]]
    ) -> None:
        if number not in self._guests and command != self._boot:
            return
        name = self._names.get(number)
        try:
            answer = command(number, argument)
            if answer is not None:
                found.append((number, ("done", answer)))
            return
        except _DroppedError:
            return
        except VmdedupError as error:
            outcome: Outcome = ("failed", type(error).__name__, str(error))
        except MemoryError as error:
            outcome = ("failed", "HostError", f"guest {name!r}: {in_a_line(error)}")
        except Exception as error:
            _log.exception("guest %s broke down", name)
            outcome = ("failed", "GuestError", f"guest {name!r} broke down: {type(error).__name__}: {error}")
        found.append((number, outcome))
        self._forget(number)

    def _boot(self, number: int, given: Assignment) -> GuestStats:
        self._names[number] = given.spec.name
        guest = self._guests[number] = self._made(given)
        guest.boot()
        return guest.stats()

    def _made(self, given: Assignment) -> Guest | RevivedGuest:
        from vmdedup.guest.machine import Guest
        from vmdedup.guest.revived import RevivedGuest

        memory = self._posting.host.memory(given.mm)
        if self._posting.waits:
            memory.relief = lambda pages: self._starve(given.mm, pages)
        if given.spec.image is not None:
            return RevivedGuest(given.spec, memory)
        return Guest(given.spec, memory, self._posting.disks[given.spec.disk])

    def _reboot(self, number: int, _: object) -> GuestStats:
        self._guests[number].reboot()
        return self._guests[number].stats()

    def _aim_balloon(self, number: int, mib: Any) -> GuestStats:
        self._guests[number].aim_balloon(mib)
        return self._guests[number].stats()

    def _leave(self, number: int, _: object) -> GuestStats:
        guest = self._guests[number]
        guest.leave()
        self._forget(number)
        self._left = not self._guests
        return guest.stats()

    def _run_free(self, number: int, _: object) -> GuestStats:
        """Live in wall time until the parent says stop; answer when it peeks. The only guest here."""
        guest = self._guests[number]
        then = time.monotonic()
        while True:
            if self._later or self._pipe.poll(0):
                if self._next()[0][1] != "peek":
                    return guest.stats()
                self._pipe.send(("done", [(number, ("done", guest.stats()))]))
            now = time.monotonic()
            eager = guest.live(1000.0 * (now - then))
            then = now
            if not eager:
                self._pipe.poll(max(0.0, then + _FREE_MS / 1000.0 - time.monotonic()))
