"""Hosts emulated: all that is promised is delivered in time; who moves comes later; a killed run is made again."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kit.fleets import guests_of
from vmdedup.cli import run_command
from vmdedup.place.emulation import Emulation, Wanted, tasks
from vmdedup.place.fleet import Guest, fleet_of
from vmdedup.place.plan import Plan
from vmdedup.place.there import HostTask
from vmdedup.sweep.children import CHILDREN
from vmdedup.units import PAGE_SIZE, SECOND_NS

MANY = [set(range(1, 400)), set(range(200, 700)), set(range(300, 800))]


def made(places: tuple[int, ...], before: tuple[object, ...], wanted: Wanted) -> list[HostTask]:
    guests = guests_of(MANY, more=20)
    return [each() for each in tasks(guests, fleet_of(guests), Plan("any", places), before, PAGE_SIZE * 100, wanted)]


def test_a_task_has_its_guests_and_when_they_come() -> None:
    one, two = made((0, 1, 0), ("a", "b", "b"), Wanted(SECOND_NS))
    assert [len(tenant.contents) for tenant in one.tenants] == [len(MANY[0]), len(MANY[2])]
    assert {tenant.again for tenant in one.tenants} == {20}
    assert [round(tenant.comes_at / SECOND_NS, 1) for tenant in one.tenants] == [0, 5.2]
    assert [tenant.comes_at for tenant in two.tenants] == [0]
    assert one.pages_to_scan == 4000


def test_at_a_scale_all_guests_keep_the_same_contents() -> None:
    guests = [Guest(name, 80_000, np.arange(64_000, dtype=np.uint64)) for name in "ab"]
    (task,) = [each() for each in tasks(guests, fleet_of(guests), Plan("any", (0, 0)), (0, 0), 1, Wanted(1, scale=16))]
    one, two = task.tenants
    assert np.array_equal(one.contents, two.contents)
    assert abs(len(one.contents) - 4000) < 5 * 4000**0.5
    assert len(one.contents) + one.again == 5000
    assert task.pages_to_scan == 250


@pytest.mark.compiled
def test_what_is_promised_is_delivered_in_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    pages = rng.integers(0, 256, (900, PAGE_SIZE), dtype=np.uint8)
    for number, its in enumerate(MANY):
        pages[sorted(its)].tofile(tmp_path / f"{number}.raw")
    names = [str(tmp_path / f"{number}.raw") for number in range(3)]
    words = ["--host-memory", "4MiB", "--algorithm", "best-fit", "--emulate", "5s", "--jobs", "1", "--json"]
    assert run_command(["place", *names, *words]) == 0
    (plan,) = json.loads(capsys.readouterr().out)["plans"]
    assert plan["hosts_needed"] == 1
    saved = (sum(map(len, MANY)) - len(set().union(*MANY))) * PAGE_SIZE / (1 << 20)
    assert plan["delivered_mib"] == pytest.approx(saved, abs=0.001)
    assert plan["promised_mib"] == pytest.approx(saved, abs=0.001)
    assert plan["over_mib"] > 0, "before anything was merged there was too little memory"
    assert plan["hosts"][0]["seconds_to_90_percent"] <= 5


@pytest.mark.compiled
def test_a_run_that_is_killed_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, real = Wanted(SECOND_NS, jobs=1), CHILDREN.run
    doomed = made((0, 1, 1), (0, 1, 1), wanted)

    def kill_first(scenario: bytes, sweep: str = "") -> dict[str, object]:
        one = CHILDREN._mine(sweep)
        if len(seen) < 2:
            seen.append(one.pid)
            os.kill(one.pid, signal.SIGKILL)
        return real(scenario, sweep)

    seen: list[int] = []
    monkeypatch.setattr(CHILDREN, "run", kill_first)
    makers: list[Callable[[], HostTask]] = [lambda task=task: task for task in doomed]  # type: ignore[misc]
    with Emulation(wanted) as emulation:
        found = emulation.run(makers, lambda text: None)
    assert [each["ended"] for each in found] == ["complete", "complete"]
    assert len(seen) == 2
