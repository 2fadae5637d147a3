"""Guests at work on a backend, and what is done to them during a run.

plan ──► start ─► GuestProcess ─► ticks ──► pause, resume, reboot, leave
                      │ dies (killed, or broken down)
                      ▼
         its memory is taken back, the run goes on
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from vmdedup.errors import GuestError, HostError, WorkerDiedError
from vmdedup.guest.crew import crews_of
from vmdedup.guest.disk import Disk
from vmdedup.guest.diskspec import DiskSpec, open_disks
from vmdedup.guest.vm import GuestProcess
from vmdedup.run.backend.base import Backend, Note
from vmdedup.run.measure.accounting import Mappings
from vmdedup.run.measure.host import Figures, Resident
from vmdedup.scenario.plan import Action, Plan
from vmdedup.units import MIB, format_size

if TYPE_CHECKING:
    from vmdedup.scanner.protocol import Scanner

Command = Callable[[GuestProcess], object]
_MILLISECOND = 1_000_000  # ns
_log = logging.getLogger(__name__)


class Emulation:
    """Guests on a backend; fills run.measure.host.Host."""

    backend: Backend

    def __init__(self, plan: Plan, note: Note, is_free: bool = False, in_turn: bool = False) -> None:
        """note: told what happens, a line each. is_free: all run freely, so a row is never the same twice.

        in_turn: the host has less memory than guests may want: while that can be, they live one after another within a
        tick, so that who finds none is not a matter of who was faster.
        """
        self.plan = plan
        self.now = 0  # nanoseconds since the run began, of what has been lived; who drives it says
        self.guests: dict[int, GuestProcess] = {}
        self._disks: Mapping[DiskSpec, Disk] = {}
        self._is_free = is_free
        self._note = note
        self._pending = list(plan.actions)
        self._unburied: list[GuestProcess] = []
        self._killed: list[GuestProcess] = []  # because there was no memory left
        self._in_turn = in_turn
        self._turn = 0

    def open_disks(self, note: Note) -> None:
        """Open what guests will read, each once, before anybody is started. Raises UsageError.

        note: told now and then how far it is; of no interest afterwards, as events of the run are.
        """
        self._disks = open_disks((spec.disk for spec in self.plan.specs), note)

    @contextmanager
    def on(self, backend: Backend) -> Iterator[None]:
        """Guests live on this backend inside; every one's process ends afterwards."""
        self.backend = backend
        backend.meet(self.standing, self._note)
        backend.relief, backend.disks = self._relieve, self._disks
        try:
            yield
        finally:
            for crew in crews_of(self.guests.values()):
                crew.end()

    @property
    def ksmd(self) -> Scanner:
        """Who scans the guests' memory."""
        return self.backend.ksmd

    # Guests

    def alive(self) -> Iterator[GuestProcess]:
        """Guests that have started and have neither left nor died."""
        return (guest for guest in self.guests.values() if guest.state not in ("left", "dead"))

    @property
    def over(self) -> bool:
        """Whether no guest is alive and none will start."""
        to_come = any(action.do == "start" for action in self._pending)
        return not to_come and not any(True for _ in self.alive())

    @property
    def survivors(self) -> int:
        """Guests that have not died: still alive, or gone as they were told to."""
        return sum(guest.state != "dead" for guest in self.guests.values())

    def apply_until(self, now: int) -> None:
        """Do everything that is due at `now` (nanoseconds since the run began)."""
        due = [action for action in self._pending if action.at <= now]
        self._pending = self._pending[len(due) :]
        for action in due:
            self._apply(action)
        self._settle()

    def _apply(self, action: Action) -> None:
        name = self.plan.specs[action.guest].name
        guest = self.guests.get(action.guest)
        if action.do == "start":
            self._start(action.guest)
        elif guest is None or guest.state in ("left", "dead"):
            self._note(f"{name} cannot {action.do}: it is {'not started' if guest is None else guest.state}")
        else:
            self._note(f"{name}: {action.do}{_where_to(action)}")
            self._each([guest], self._command(action))
            if guest.state == "left":
                self.backend.release(guest)

    def _command(self, action: Action) -> Command:
        """What is done to a guest."""
        if action.node is not None:
            return self._move_to(action.node)
        if action.target is not None:
            target = action.target / MIB
            return lambda guest: guest.aim_balloon(target)
        return _COMMANDS[action.do]

    def _move_to(self, node: int) -> Command:
        def move(guest: GuestProcess) -> None:
            if stay := self.backend.move(guest, node):
                self._note(f"{guest.spec.name}: {stay} of its frames stay where they are")

        return move

    def _start(self, number: int) -> None:
        spec = self.plan.specs[number]
        self.guests[number] = self.backend.admit(spec)
        if self._in_turn:
            self._settle()

    def run_slice(self, nanoseconds: int) -> None:
        """Let every running guest live for so long, less what it waits for memory: all in parallel, or in turn."""
        running = [guest for guest in self.alive() if guest.state == "running"]
        lives = {guest.mm: self.backend.time_left(guest, nanoseconds) / _MILLISECOND for guest in running}
        is_scarce = self._in_turn and self.backend.can_be_full(guest.spec.memory_pages for guest in self.alive())
        if is_scarce:
            first = self._turn % max(1, len(running))
            running = running[first:] + running[:first]
            self._turn += 1
        if is_scarce:
            for guest in running:
                if guest.state == "running" and lives[guest.mm]:  # else it was killed meanwhile, or waits all the time
                    self._each([guest], lambda each: each.begin_tick(lives[each.mm]))
                self._settle()
        else:
            self._live(running, lives)
        self._settle()

    def _live(self, running: Sequence[GuestProcess], lives: Mapping[int, float]) -> None:
        """Have them live, all of a crew by one message."""
        for crew in crews_of(running):
            crew.live([(guest.mm, lives[guest.mm]) for guest in running if guest.crew is crew and lives[guest.mm]])

    # Real time

    def run_free(self) -> None:
        """Let every running guest live in real time."""
        self._each([guest for guest in self.alive() if guest.state == "running"], GuestProcess.run_free)

    def stop_free(self) -> None:
        """Have every guest stand between two operations; those found dead are buried."""
        self._each([guest for guest in self.alive() if guest.state == "free"], GuestProcess.halt)
        self._settle()

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Every guest stands between two operations inside; those that ran free run on afterwards."""
        free = [guest for guest in self.alive() if guest.state == "free"]
        self._each(free, GuestProcess.halt)
        self._await()
        yield
        self._bury()
        self._each([guest for guest in free if guest.state == "running"], GuestProcess.run_free)

    def is_due(self, now: int) -> bool:
        """Whether something is to be done at `now`."""
        return bool(self._pending) and self._pending[0].at <= now

    def calling(self) -> bool:
        """Whether a guest that runs free waits for memory."""
        return any(guest.is_calling() for guest in self.alive())

    def fallen(self) -> bool:
        """Whether a guest's process has ended by itself, and what it had is not taken back yet."""
        return bool(self._unburied) or any(not guest.is_alive() for guest in self.alive())

    def _each(self, guests: Iterable[GuestProcess], command: Command) -> None:
        """Do something with each guest. Those found dead, or that die of it, are to be buried."""
        for guest in guests:
            try:
                command(guest)
            except HostError:
                self._unburied.append(guest)  # there is no memory for it: its process has ended
                raise
            except GuestError as error:
                if guest.state != "dead":
                    raise
                if guest in self._killed:
                    continue
                self._note(f"{error}; the run goes on without it")
                _log.warning("%s; the run goes on without it", error)
                self._unburied.append(guest)

    def _await(self) -> None:
        """Wait until every guest that does not run free has done what it was told last: it stands then."""
        while True:
            for crew in crews_of(guest for guest in self.alive() if guest.state != "free"):
                crew.stand()
            self._each([guest for guest in self.guests.values() if guest.is_troubled], GuestProcess.stand)
            starved = [guest for guest in self.alive() if guest.starved]
            if not starved:
                return
            self._relieve(starved[0])

    def _relieve(self, guest: GuestProcess) -> None:
        """Find memory for a guest that waits for it, while every other one stands. Where there is none, the largest
        guest is killed, as Linux does, and so on. HostError: that was the last one.
        """
        self._bury()
        # Burying may find the scanner dead; then everybody was made to stand, and relieved, for its successor's sake.
        while guest.starved and not self.backend.find_memory(guest):
            victim = self.backend.largest(list(self.alive()))
            victim.kill()
            self._killed.append(victim)
            self._unburied.append(victim)
            self._bury()
            if self.over:
                raise HostError(
                    f"host memory is exhausted: {victim.spec.name} was killed, and no guest is left; give the host "
                    "more memory, or run fewer guests"
                )
            if victim is guest:
                return
        if guest.starved:
            self._each([guest], GuestProcess.go_on)

    def _settle(self) -> None:
        """Have everybody stand, none running free, and bury the dead."""
        self._await()
        self._bury()

    def stand_down(self) -> None:
        """Have everybody stand once the host's memory has run out; who found none either is dead, too."""
        for guest in list(self.alive()):
            with suppress(HostError):
                self._each([guest], GuestProcess.stop_free if guest.state == "free" else GuestProcess.ready)
        self._bury()

    def _bury(self) -> None:
        """Take back what dead guests had. Only while every guest stands."""
        dead, self._unburied = self._unburied, []
        self.backend.bury(dead)

    # What rows and tables tell

    def about(self) -> Mapping[str, Any]:
        """As the backend says."""
        return self.backend.about()

    @property
    def present(self) -> int:
        """How many guests are alive."""
        return sum(1 for _ in self.alive())

    def figures(self) -> Figures:
        """As the backend counts them."""
        return self.backend.figures()

    def most_used(self) -> tuple[int, int] | None:
        """As the backend knows it."""
        return self.backend.most_used(self._is_free)

    def mappings(self) -> Mappings:
        """As the backend counts them."""
        return self.backend.mappings()

    def residents(self) -> list[Resident]:
        """All guests of the plan, started or not."""
        return [self._resident(number) for number in range(len(self.plan.specs))]

    def _resident(self, number: int) -> Resident:
        spec, group = self.plan.specs[number], self.plan.groups[number]
        guest = self.guests.get(number)
        if guest is None:
            return Resident(spec.name, group, 0, "not started", spec.memory_pages, False, None)
        is_present = guest.state not in ("left", "dead")
        stat = self._ksm_stat(guest) if is_present else None
        return Resident(spec.name, group, guest.mm, guest.state, spec.memory_pages, is_present, stat)

    def _ksm_stat(self, guest: GuestProcess) -> Mapping[str, int] | None:
        try:
            return self.ksmd.ksm_stat(guest.mm)
        except WorkerDiedError:  # it has ended the run, and cannot be asked any more
            return None


def _where_to(action: Action) -> str:
    if action.target is not None:
        return f" to {format_size(action.target)}"
    return "" if action.node is None else f" to node {action.node}"


def _pause(guest: GuestProcess) -> None:
    if guest.state != "paused":
        guest.pause()


def _resume(guest: GuestProcess) -> None:
    if guest.state == "paused":
        guest.resume()


_COMMANDS: Mapping[str, Command] = {
    "pause": _pause,
    "resume": _resume,
    "reboot": GuestProcess.reboot,
    "leave": GuestProcess.leave,
}
