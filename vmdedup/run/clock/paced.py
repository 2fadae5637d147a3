"""Virtual time that keeps step with real time, so that other programs can look on, and take a hand in.

    virtual   tick │ tick │ tick │        as in lockstep: guests live, then ksmd scans its share
    real      tick ── desk ── tick ── desk     until the next tick is due, who asks is answered, who writes is obeyed

What is written is seen by the next tick. A machine that is too slow falls behind, says so, and never hurries to catch
up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from vmdedup.run.clock.desk import Desk
from vmdedup.run.clock.lockstep import live_tick, stated, warm_up
from vmdedup.run.emulation import Emulation
from vmdedup.run.measure.recorder import Recorder
from vmdedup.run.pricing import Pricing
from vmdedup.scanner.cost import cost_of
from vmdedup.scanner.share import Share
from vmdedup.scenario.model import Scenario
from vmdedup.signals import Interrupt
from vmdedup.units import SECOND_NS

_BEHIND_S = 1.0  # that a host is behind before it is said
IsOver = Callable[[], bool]


class Paced:
    """A clock, as run.run has them. Guests may all be gone, and the host is there still.

    visit: entered when the host can be looked at, left before it ends; tells whether the run is over. speed: virtual
    seconds in a real one. length: virtual nanoseconds; None: until visit, or a signal, ends it. has_rows: take a row
    each sample_interval, which hashes all memory; else at the beginning and at the end.
    """

    def __init__(
        self,
        desk: Desk,
        visit: Callable[[], AbstractContextManager[IsOver]],
        speed: float = 1.0,
        length: int | None = None,
        has_rows: bool = False,
    ) -> None:
        self._desk, self._visit, self._speed = desk, visit, speed
        self._length, self._has_rows = length, has_rows
        self._lost = 0.0  # seconds that it is behind

    def __call__(
        self, scenario: Scenario, emulation: Emulation, recorder: Recorder, prices: Pricing, interrupt: Interrupt
    ) -> None:
        """Run until it is over."""
        emulation.ksmd.prices = prices.virtual
        share = Share(emulation.ksmd, cost_of(emulation.ksmd, prices.page_cost), scenario.policy.cpu)
        seconds = stated(emulation, prices, share)
        emulation.apply_until(0)
        warm_up(emulation, scenario.host.warm_up, scenario.host.tick)
        recorder.sample(emulation, 0.0)
        try:
            with self._visit() as is_over:
                self._ticks(scenario, emulation, recorder, share, seconds, lambda: is_over() or interrupt.wanted)
        finally:
            self._desk.close()
        recorder.sample_last(emulation, seconds())

    def _ticks(
        self,
        scenario: Scenario,
        emulation: Emulation,
        recorder: Recorder,
        share: Share,
        seconds: Callable[[], float],
        is_over: IsOver,
    ) -> None:
        began = time.monotonic()
        while not is_over() and (self._length is None or recorder.now < self._length):
            live_tick(emulation, recorder, share, scenario.host.tick)
            if self._has_rows and recorder.is_due(scenario.host.sample_interval):
                recorder.sample(emulation, seconds())
            emulation.backend.give_back()
            due = began + recorder.now / SECOND_NS / self._speed
            if (late := time.monotonic() - due) > 0:
                began += late
                self._fall_behind(late, recorder)
            self._answer(emulation, share, due + max(0.0, late))

    def _answer(self, emulation: Emulation, share: Share, until: float) -> None:
        slept = emulation.ksmd.get("sleep_millisecs")
        self._desk.serve(emulation, until)
        if emulation.ksmd.get("sleep_millisecs") != slept:
            share.wake()

    def _fall_behind(self, late: float, recorder: Recorder) -> None:
        before, self._lost = self._lost, self._lost + late
        if before <= _BEHIND_S < self._lost:
            recorder.event("this machine is too slow for the host's pace: its seconds take longer than they should")
