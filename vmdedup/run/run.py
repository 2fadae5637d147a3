"""One run: a backend and guests built from a scenario, driven by its clock, and taken down again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from importlib import import_module
from typing import Final, Protocol, cast

from vmdedup.errors import HostError, VmdedupError, WorkerDiedError
from vmdedup.host.logs import LogChannel, Logs
from vmdedup.late import load
from vmdedup.result.directory import WORTH_KEEPING, RunDirectory
from vmdedup.result.run import Result
from vmdedup.run.backend.base import Backend, Note
from vmdedup.run.emulation import Emulation
from vmdedup.run.measure.about import about
from vmdedup.run.measure.recorder import Recorder
from vmdedup.run.measure.rows import Watcher
from vmdedup.run.pricing import Pricing, pricing
from vmdedup.run.room import HostRoom
from vmdedup.run.unstick import Unstick
from vmdedup.scenario.model import Scenario
from vmdedup.scenario.plan import plan
from vmdedup.signals import Interrupt

COMPLETE, INTERRUPTED, ALL_DEAD = "complete", "interrupted", "no guest survived"
EXHAUSTED, BROKEN = "host memory exhausted", "scanner broke down"
_log = logging.getLogger(__name__)

Clock = Callable[[Scenario, Emulation, Recorder, Pricing, Interrupt], None]
_CLOCKS: Final[Mapping[str, str]] = {
    "lockstep": "vmdedup.run.clock.lockstep:run_lockstep",
    "wall": "vmdedup.run.clock.wall:run_wall",
}


# By name: the module that has `check`, which tells whether it can run a scenario at all and how large its host gets,
# and `opened`, the backend. Loaded when it is asked for: an emulated run needs nothing of the kernel's.
BACKENDS: Final[Mapping[str, str]] = {
    "emulator": "vmdedup.run.backend.emulator",
    "kernel": "vmdedup.run.backend.kernel",
}


class BackendModule(Protocol):
    """What a module of BACKENDS has."""

    def check(self, scenario: Scenario) -> HostRoom | None:
        """VmdedupError: it cannot run the scenario. Returns what the host gets, if it is emulated."""

    def opened(
        self, scenario: Scenario, logs: LogChannel, room: HostRoom | None, note: Note
    ) -> AbstractContextManager[Backend]:
        """Guests' memory, and who scans it, told its tunables, for one run. room: of check(). note: see Backend."""


def run_scenario(
    scenario: Scenario,
    watcher: Watcher,
    log_handler: logging.Handler,
    log_level: int = logging.WARNING,
    backend: str = "emulator",
    directory: RunDirectory | None = None,
    clock: Clock | None = None,
) -> Result:
    """Run a scenario to its end, until Ctrl-C, or until, after the first sample, the host's memory runs out or ksmd,
    or the policy, breaks down.

    watcher: sees every sample and event. backend: of BACKENDS. directory: where rows go while the run goes on. clock:
    who drives it in place of the scenario's.

    log_handler gets the log records of all processes, in order. Raises VmdedupError; nothing is left behind.
    """
    module = cast(BackendModule, import_module(BACKENDS[backend]))
    room = module.check(scenario)
    prices = pricing(scenario, backend)
    with Logs(log_handler, log_level) as logs:
        recorder = Recorder(about(scenario, prices), watcher, directory)
        emulation = Emulation(
            plan(scenario), recorder.event, scenario.clock == "wall", scenario.host.memory is not None
        )
        emulation.open_disks(watcher.event)
        watcher.event("starting (the first run compiles its kernels, which takes a minute)")
        with module.opened(scenario, logs.channel(), room, recorder.event) as opened, emulation.on(opened):
            return _run(scenario, emulation, recorder, prices, room, clock or load(_CLOCKS[scenario.clock]))


def _run(
    scenario: Scenario,
    emulation: Emulation,
    recorder: Recorder,
    prices: Pricing,
    room: HostRoom | None,
    clock: Clock,
) -> Result:
    with Interrupt() as interrupt, Unstick(interrupt):
        try:
            clock(scenario, emulation, recorder, prices, interrupt)
            ended = _ended(emulation, interrupt)
        except (HostError, WorkerDiedError) as error:
            if recorder.rows < WORTH_KEEPING:
                raise _with_note(error, room) from None
            recorder.look(emulation)
            recorder.event(str(error))
            emulation.stand_down()
            ended = EXHAUSTED if isinstance(error, HostError) else BROKEN
            if ended == EXHAUSTED:
                with suppress(WorkerDiedError):
                    recorder.sample_death(emulation)
            if ended == BROKEN:
                _log.error("%s", error)
        return recorder.result(emulation, ended)


def _with_note(error: VmdedupError, room: HostRoom | None) -> VmdedupError:
    """A host that is full at once, with why it is as small as it is."""
    is_full = isinstance(error, HostError) and room is not None and room.note
    return HostError(f"{error}; {room.note}") if is_full and room is not None else error


def _ended(emulation: Emulation, interrupt: Interrupt) -> str:
    if interrupt.wanted:
        return INTERRUPTED
    return COMPLETE if emulation.survivors else ALL_DEAD
