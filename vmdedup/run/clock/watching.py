"""Real time, and guests that live by themselves: rows are taken of them as they run on."""

from __future__ import annotations

import time
from collections.abc import Callable

from vmdedup.run.measure.host import Host
from vmdedup.run.measure.recorder import Recorder
from vmdedup.units import SECOND_NS

_LOOK_S = 0.05  # how often is looked whether to stop


def watch(
    host: Host, recorder: Recorder, duration: int, interval: int, is_over: Callable[[], bool]
) -> Callable[[], int]:
    """Take a row each interval until the duration is over, or until is_over() says so, which is asked all the time.

    duration, interval: nanoseconds. Returns the clock, which goes on: nanoseconds since the beginning.
    """
    began = time.monotonic_ns()

    def clock() -> int:
        return time.monotonic_ns() - began

    while not is_over():
        recorder.now = clock()
        if recorder.is_due(interval):
            recorder.sample(host, host.ksmd.cpu_seconds())
        if recorder.now >= duration:
            break
        time.sleep(max(0.0, min(_LOOK_S, (duration - clock()) / SECOND_NS)))
    return clock
