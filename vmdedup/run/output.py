"""Where the results of a run go."""

from __future__ import annotations

import time
from contextlib import suppress
from itertools import count
from pathlib import Path

from vmdedup.result.directory import RunDirectory, TakenError
from vmdedup.scenario.model import Scenario

RUNS = Path("runs")


def choose_output(scenario: Scenario, wanted: Path | None, shared: bool = False) -> RunDirectory:
    """The directory for a run's results, taken; without a wish, runs/NAME-DATE-TIME. UsageError: it cannot be had.

    shared: it is filled by others, as RunDirectory has it.
    """
    if wanted is not None:
        return RunDirectory(wanted, shared=shared)
    name = f"{scenario.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    for number in count(1):  # two runs may start in one second
        with suppress(TakenError):
            return RunDirectory(RUNS / (name if number == 1 else f"{name}-{number}"), new=True, shared=shared)
    raise AssertionError("unreachable: numbers do not end")
