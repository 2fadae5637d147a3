"""Real time: all guests and ksmd run freely against each other, and rows are taken as they go by.

Everybody stands between two operations while a row is taken, so that all its figures are of one moment: counted one
after another, what guests fill meanwhile would be in one figure and not in the other. What happens to guests (start,
pause, leave, death) happens while everybody stands, too.
"""

from __future__ import annotations

import time
from multiprocessing.connection import wait

from vmdedup.run.backend.base import Running
from vmdedup.run.emulation import Emulation
from vmdedup.run.measure.recorder import Recorder
from vmdedup.run.pricing import Pricing
from vmdedup.scenario.model import Scenario
from vmdedup.signals import Interrupt
from vmdedup.units import SECOND_NS

_LOOK_S = 0.1  # how often Ctrl-C and due events are looked for


def run_wall(
    scenario: Scenario, emulation: Emulation, recorder: Recorder, prices: Pricing, interrupt: Interrupt
) -> None:
    """Run to the end, until it is interrupted, or until no guest is left. prices: of no use, CPU time is measured."""
    began = time.monotonic_ns()
    emulation.apply_until(0)
    emulation.run_free()
    with emulation.backend.free_ksmd() as ksmd:
        while recorder.now < scenario.duration and not interrupt.wanted and not emulation.over:
            before, recorder.now = recorder.now, min(time.monotonic_ns() - began, scenario.duration)
            emulation.backend.pass_time(recorder.now - before)
            _act(emulation, recorder, ksmd)
            recorder.look(emulation)
            if recorder.is_due(scenario.host.sample_interval):
                with ksmd.standing(), emulation.standing():
                    recorder.sample(emulation, emulation.ksmd.cpu_seconds())
            _look(emulation, began, scenario)
    emulation.stop_free()
    recorder.sample(emulation, emulation.ksmd.cpu_seconds())


def _act(emulation: Emulation, recorder: Recorder, ksmd: Running) -> None:
    """Do what is due, find memory for whom there is none, and bury who died, while everybody stands."""
    if not emulation.is_due(recorder.now) and not emulation.fallen() and not emulation.calling():
        return
    with ksmd.standing():
        emulation.stop_free()
        emulation.apply_until(recorder.now)
        emulation.run_free()


def _look(emulation: Emulation, began: int, scenario: Scenario) -> None:
    """Wait a moment, or until a guest dies, or says that it has no memory."""
    left = (began + scenario.duration - time.monotonic_ns()) / SECOND_NS
    sentinels = [guest.sentinel for guest in emulation.alive() if guest.sentinel is not None]
    free = [guest.pipe for guest in emulation.alive() if guest.state == "free"]
    wait([*sentinels, *free], timeout=max(0.0, min(_LOOK_S, left)))
