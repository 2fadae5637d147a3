"""Virtual time: in each tick all guests live their slice in parallel, then ksmd scans its share.

    tick        guests ║ guests ║ guests   all at once, on as many cores as there are
                └──────── all done ───────┘
                ksmd scans until the end of the tick
                every sample_interval: a row

Nothing depends on real time or on who was faster: guests do not write what others read, and ksmd works alone.
So the same scenario and seed give the same rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from vmdedup.run.emulation import Emulation
from vmdedup.run.measure.recorder import Recorder
from vmdedup.run.pricing import MEASURED, PAGE_COST, Pricing
from vmdedup.scanner.cost import cost_of
from vmdedup.scanner.share import Share
from vmdedup.scenario.model import Scenario
from vmdedup.signals import Interrupt
from vmdedup.units import SECOND_NS


def run_lockstep(
    scenario: Scenario, emulation: Emulation, recorder: Recorder, prices: Pricing, interrupt: Interrupt
) -> None:
    """Run to the end, or to the end of the tick in which it is interrupted, or until no guest is left."""
    emulation.ksmd.prices = prices.virtual
    cost = cost_of(emulation.ksmd, prices.page_cost)
    share = Share(emulation.ksmd, cost, scenario.policy.cpu)
    seconds = stated(emulation, prices, share)
    tick, interval = scenario.host.tick, scenario.host.sample_interval
    emulation.apply_until(0)
    warm_up(emulation, scenario.host.warm_up, tick)
    recorder.sample(emulation, 0.0)
    while recorder.now < scenario.duration and not interrupt.wanted and not emulation.over:
        live_tick(emulation, recorder, share, min(tick, scenario.duration - recorder.now))
        if recorder.now % interval == 0:
            recorder.sample(emulation, seconds())
            emulation.backend.give_back()
    recorder.sample_last(emulation, seconds())


def warm_up(emulation: Emulation, length: int, tick: int) -> None:
    """Guests live, and nobody scans or looks."""
    for start in range(0, length, tick):
        emulation.run_slice(min(tick, length - start))
        emulation.backend.pass_time(min(tick, length - start))


def stated(emulation: Emulation, prices: Pricing, share: Share) -> Callable[[], float]:
    """What tells the CPU seconds to be stated, so far."""
    if prices.source == PAGE_COST:
        return lambda: share.cpu / SECOND_NS
    if prices.source == MEASURED:
        return emulation.ksmd.cpu_seconds
    return lambda: prices.seconds(emulation.ksmd.work_done())


def live_tick(emulation: Emulation, recorder: Recorder, share: Share, length: int) -> None:
    """Guests live so many nanoseconds, then who scans gets its share of them."""
    began = time.monotonic()
    try:
        emulation.apply_until(recorder.now)
        emulation.run_slice(length)
    finally:  # also of a tick that the host has no memory for: it ends then
        recorder.now += length
        emulation.now = recorder.now
    recorder.look(emulation)
    between = time.monotonic()
    share.scan_until(recorder.now)
    emulation.backend.pass_time(length)
    recorder.waits["guests"] += between - began
    recorder.waits["ksmd"] += time.monotonic() - between
