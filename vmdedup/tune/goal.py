"""What is wanted of settings, as `vmdedup tune` is told it: --goal "90% of possible in 60s" and --max ksmd=10%."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vmdedup.errors import UsageError
from vmdedup.result.sweep import COMPLETE
from vmdedup.shown import quoted, suggest
from vmdedup.units import exact_duration, parse_duration

LIMITS: Final = ("ksmd",)
_GOAL: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*% of possible in\s+(\S+)\s*")
_LIMIT: Final = re.compile(r"(\d+(?:\.\d+)?)%?")
_FAILED: Final = 1000.0  # how far a run that did not end well is from any goal, in per cent


@dataclass(frozen=True)
class Goal:
    """percent: of what could be saved, to be saved after duration_ns nanoseconds of the clock."""

    percent: float
    duration_ns: int

    @property
    def duration(self) -> str:
        """How long a run lasts, as scenarios have it."""
        return exact_duration(self.duration_ns)

    def __str__(self) -> str:
        return f"{self.percent:g}% of possible in {self.duration}"


def parse_goal(text: str) -> Goal:
    """What --goal says. UsageError: it says none, or one that nothing can reach."""
    found = _GOAL.fullmatch(text) if len(text) <= 200 else None
    if found is None:
        raise UsageError(f'--goal {quoted(text)} is no goal; write for example --goal "90% of possible in 60s"')
    goal = Goal(float(found[1]), parse_duration(found[2]))
    if not 0 < goal.percent <= 100:
        raise UsageError(f"--goal {goal.percent:g}% cannot be reached or missed; write more than 0% and at most 100%")
    if goal.duration_ns <= 0:
        raise UsageError("--goal in no time cannot be reached; write a duration such as 60s")
    return goal


def parse_limits(texts: Sequence[str]) -> dict[str, float]:
    """What --max says: per cent, by name. UsageError: nothing is called that, or it is no per cent."""
    limits: dict[str, float] = {}
    for text in texts:
        name, _, value = (part.strip() for part in text.partition("="))
        if name not in LIMITS:
            raise UsageError(f"--max: no limit is called {quoted(name)}; {suggest(name, LIMITS)}")
        found = _LIMIT.fullmatch(value)
        if found is None or float(found[1]) <= 0:
            raise UsageError(f"--max {quoted(text)}: write more than 0 per cent, as in --max {name}=10%")
        if name in limits:
            raise UsageError(f"--max names {name} twice; leave one out")
        limits[name] = float(found[1])
    return limits


def ksmd_percent(row: Mapping[str, Any]) -> float:
    """CPU time of who scans, per cent of one core over the run."""
    return 100 * (row["cpu_seconds"] or 0.0) / row["seconds"] if row["seconds"] else 0.0


def is_complete(row: Mapping[str, Any]) -> bool:
    """Whether a run has figures to judge by."""
    return bool(row["ended"] == COMPLETE)


def misses(row: Mapping[str, Any], goal: Goal | None, limits: Mapping[str, float]) -> list[float]:
    """How far a run is from what is wanted, one figure for each, in per cent; at most 0 where it is reached."""
    wanted = (goal is not None) + len(limits)
    if not is_complete(row):
        return [_FAILED] * wanted
    short = [] if goal is None else [goal.percent - (row["saved_percent_of_possible"] or 0.0)]
    return short + [ksmd_percent(row) - limits[name] for name in limits]


def reaches(row: Mapping[str, Any], goal: Goal | None, limits: Mapping[str, float]) -> bool:
    """Whether a run does all that is wanted."""
    return is_complete(row) and all(miss <= 0 for miss in misses(row, goal, limits))
