"""Measuring real guests: a row each interval while the kernel's ksmd runs by its own tunables, and the Result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

from vmdedup.live.ksm.free import FreeKsmd
from vmdedup.live.ksm.sysfs import KsmFiles
from vmdedup.live.provision.plan import RunPlan
from vmdedup.result.directory import RunDirectory
from vmdedup.result.run import Result
from vmdedup.run.clock.watching import watch
from vmdedup.run.measure.recorder import Recorder
from vmdedup.run.measure.rows import Watcher
from vmdedup.run.qemu.host import QemuHost
from vmdedup.units import PAGE_SIZE, SECOND_NS


def measure(
    plan: RunPlan,
    pids: Mapping[str, int],
    files: KsmFiles,
    watcher: Watcher,
    directory: RunDirectory | None,
    stop: Callable[[], bool],
    settle: Callable[[QemuHost], None] = lambda host: None,
) -> Result:
    """Start ksmd with the plan's tunables, and measure until its time is over, or until stop() says so.

    pids: QEMU's process of each guest that KSM may merge, by name, in the order of starts. directory: where rows go as
    they come. settle: what is done before the last row, unless it ends early. ksmd is stopped afterwards; putting its
    tunables back is up to who holds KSM's lock. KnobError: of a tunable.
    """
    recorder = Recorder(_about(plan), watcher, directory)
    with closing(FreeKsmd(files)) as ksmd, closing(QemuHost(plan.guests, pids, ksmd, recorder.event)) as host:
        ksmd.start(plan.tunables)
        lengths = round(plan.seconds * SECOND_NS), round(plan.interval * SECOND_NS)
        clock = watch(host, recorder, *lengths, lambda: stop() or host.is_over)
        if not stop():
            settle(host)
        ksmd.stop()  # so that the last row, and the table of guests, tell of the same moment
        recorder.now = clock()
        recorder.sample(host, ksmd.cpu_seconds())
        return recorder.result(host, "interrupted" if stop() else "complete")


def _about(plan: RunPlan) -> dict[str, Any]:
    """What run.json says of the run from the start."""
    return {
        "name": plan.name,
        "seed": plan.seed,
        "clock": "real",
        "page_size": PAGE_SIZE,
        "knobs": dict(plan.tunables),
        "scenario": plan.scenario,
        "accelerator": plan.accelerator,
    }
