"""Controllers look by their own clock: whether ksmd runs, sleeps for long, or stands; in virtual time and in real."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pytest
from rich.console import Console

from vmdedup.api.hypervisor import Hypervisor
from vmdedup.host.memory import Host
from vmdedup.policy.base import Policy
from vmdedup.policy.controllers.ksmtuned import Ksmtuned
from vmdedup.policy.work import PRICES_NS
from vmdedup.report.summary import render
from vmdedup.scanner.cost import FlatCost
from vmdedup.scanner.free import FreeScanner
from vmdedup.scanner.share import Share

TICK = 100_000_000
HOUR_MS = "3600000"


class InProcess(Ksmtuned):
    """ksmtuned in our own process, with what a clock asks of one in another."""

    kind: type[Policy] = Ksmtuned
    prices: Mapping[str, float] = PRICES_NS
    pid = 0

    @property
    def bill_ns(self) -> int:
        return self.work_ns()

    def cpu_seconds(self) -> float:
        return 0.0

    def close(self) -> None:
        """Nothing."""


@pytest.fixture
def policy() -> Iterator[InProcess]:
    """ksmtuned that looks every second, on a host of which a tenth is free."""
    host = Host.create(400, frames=400, mms=1)
    made = InProcess(host)
    memory = host.add(400)
    memory.write_pages(np.arange(360), np.random.default_rng(1).integers(0, 256, (360, 4096), dtype=np.uint8))
    made.enter(memory.mm)
    made.set("monitor_interval", "1")
    made.set("sleep_msec", "1")
    yield made
    host.close()


def live(policy: InProcess, seconds: int) -> list[tuple[int, int]]:
    """Lockstep's ticks for so long: (ksmd_run, pages_to_scan) after each second."""
    share, found = Share(policy, FlatCost(1000)), []
    for tick in range(1, 10 * seconds + 1):
        share.scan_until(tick * TICK)
        if tick % 10 == 0:
            found.append((policy.counters()["ksmd_run"], policy.get("pages_to_scan")))
    return found


def test_a_ksmd_that_does_not_run_is_started_in_virtual_time(policy: InProcess) -> None:
    policy.set("run", "0")
    assert live(policy, 4) == [(0, 100), (1, 300), (1, 600), (1, 900)]
    assert policy.counters()["looks"] == 3


def test_a_long_sleep_of_ksmd_keeps_no_controller_from_looking_and_ends_when_it_writes_another(
    policy: InProcess,
) -> None:
    policy.set("sleep_millisecs", HOUR_MS)
    assert live(policy, 4) == [(1, 100), (1, 300), (1, 600), (1, 900)]
    assert policy.get("sleep_millisecs") == 10485
    # One batch at once, and one when the sleep was written, which ends with the full scan.
    assert policy.counters()["pages_scanned"] == 360


def until(condition: Callable[[], bool]) -> None:
    """Wait for it; a minute at most."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("knob", ["run", "sleep_millisecs"])
def test_and_in_real_time(policy: InProcess, knob: str) -> None:
    policy.set(knob, {"run": "0", "sleep_millisecs": HOUR_MS}[knob])
    with FreeScanner(policy):
        until(lambda: policy.get("pages_to_scan") >= 300)
        until(lambda: policy.counters()["pages_scanned"] >= 300)


def scenario_like_a_host_before_ksmtuned() -> Hypervisor:
    tunables = {
        "initial_run": 0,
        "host_memory_mib": 192,
        "monitor_interval": 1,
        "sleep_msec": 20,
        "npages_boost": 300,
        "npages_decay": -50,
        "npages_min": 100,
        "npages_max": 2000,
        "thres_coef": 20,
    }
    host = Hypervisor(run=0, page_cost="1us", policy={"name": "ksmtuned", "tunables": tunables})
    return host.add(4, memory="64MiB", workload="idle", disk={"kind": "generated", "mib": 64})


@pytest.mark.compiled  # four guests that boot are too much work for Python mode
def test_ksmtuned_starts_the_ksmd_of_a_host_and_speeds_it_up() -> None:
    result = scenario_like_a_host_before_ksmtuned().run("9s")
    assert result.series["ksmd_run"].to_list() == [0, 0] + [1] * 8
    assert result.series["pages_to_scan"].to_list() == [100, 100, 300, 600, 900, 1200, 1500, 1800, 2000, 2000]
    assert result.summary["controller"] == {"looks": 8, "adjustments": 8}


def test_a_controller_that_never_looked_is_said_to_have_looked_0_times() -> None:
    host = Hypervisor(policy="ksmtuned").add(2, memory="4MiB", workload="idle", disk={"kind": "generated", "mib": 4})
    result = host.run("2s")
    assert result.summary["controller"] == {"looks": 0, "adjustments": 0}
    out = io.StringIO()
    render(result.summary, Console(width=200, file=out))
    assert "looked 0 times" in out.getvalue()
