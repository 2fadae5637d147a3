"""Where the results of a run go."""

from __future__ import annotations

import time
from pathlib import Path

from vmdedup.experiment.scenario import Scenario
from vmdedup.result.directory import check_free

RUNS = Path("runs")


def choose_output(scenario: Scenario, wanted: Path | None) -> Path:
    """The directory for a run's results; without a wish, runs/NAME-DATE-TIME. UsageError: it is taken."""
    path = wanted if wanted is not None else _free_name(f"{scenario.name}-{time.strftime('%Y%m%d-%H%M%S')}")
    check_free(path)
    return path


def _free_name(name: str) -> Path:
    """runs/name, or the first runs/name-2, -3, … that is free: two runs may start in one second."""
    path, number = RUNS / name, 2
    while path.exists():
        path, number = RUNS / f"{name}-{number}", number + 1
    return path
