"""Runs on the kernel's own KSM, for one test module at a time, and the same runs on the emulator."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from kit.small_runs import Keeping, Watching
from vmdedup.errors import EnvironmentLacksError
from vmdedup.live.ksm.session import KsmSession
from vmdedup.result.run import Result
from vmdedup.result.tables import Table
from vmdedup.run.run import run_scenario
from vmdedup.scenario.load import load_scenario
from vmdedup.scenario.model import Scenario
from vmdedup.scenario.overrides import Overrides

PATIENCE_S = 120.0
SESSION = "vmdedup.run.backend.kernel.KsmSession"
# `python -c PATIENT ARGUMENTS` is vmdedup, but waits for the lock as long as tests do.
PATIENT = f"""
from functools import partial
from vmdedup.cli import main
from vmdedup.run.backend import kernel
kernel.KsmSession = partial(kernel.KsmSession, wait={PATIENCE_S})
main()
"""


@contextmanager
def patiently() -> Iterator[None]:
    """Inside, runs on the kernel wait for the lock. Skips, saying why, where KSM cannot be had."""
    try:
        KsmSession(wait=PATIENCE_S).close()
    except EnvironmentLacksError as lacking:
        if os.environ.get("VMDEDUP_REQUIRE_KERNEL"):
            raise
        pytest.skip(str(lacking))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SESSION, partial(KsmSession, wait=PATIENCE_S))
        yield


def scaled(name: str, guests: int, memory: str, duration: str, *knobs: str, huge_pages: str = "never") -> Scenario:
    """A scenario that comes with the program, with fewer and smaller guests, on a disk alike on every machine."""
    overrides = Overrides(guests=guests, memory=memory, duration=duration, knobs=knobs)
    scenario = load_scenario(name, overrides)
    disk = {"kind": "generated", "mib": 24}
    groups = [group.model_copy(update={"disk": disk}) for group in scenario.guests]
    host = scenario.host.model_copy(update={"huge_pages": huge_pages})
    return scenario.model_copy(update={"guests": groups, "host": host})


def run_on(backend: str, scenario: Scenario, watcher: Watching | None = None) -> Result:
    """Run a scenario on one of the backends."""
    return run_scenario(scenario, watcher or Watching(), Keeping(), backend=backend)


def differing(one: Table, two: Table) -> list[str]:
    """Columns in which two tables differ, each with the first row that does."""
    assert one.columns == two.columns
    pairs = {name: (one[name].to_list(), two[name].to_list()) for name in one.columns}
    return [f"{name}: {first_difference(a, b)}" for name, (a, b) in pairs.items() if a != b]


def first_difference(one: list[object], two: list[object]) -> str:
    """Where, and what, the first difference of two lists is."""
    for row, (a, b) in enumerate(zip(one, two, strict=False)):
        if a != b:
            return f"row {row}: {a} and {b}"
    return f"{len(one)} and {len(two)} rows"
