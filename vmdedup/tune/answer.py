"""What a search found: the best run, how it stands to today's, simpler ones nearly as good, what each knob matters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from vmdedup.tune.goal import Goal, is_complete, ksmd_percent, misses, reaches
from vmdedup.tune.knobs import Settings, changed, in_force
from vmdedup.tune.search import objectives

MARGIN: Final = 10.0  # per cent more CPU that still is nearly as good
SIMPLER: Final = 2
Row = Mapping[str, Any]


def best_of(rows: Sequence[Row], goal: Goal, limits: Mapping[str, float]) -> Row | None:
    """The run that reaches all that is wanted with the least CPU; if none does, that which misses least.

    None: no run came to its end. Of equals the earliest.
    """
    whole = [row for row in rows if is_complete(row)]
    return min(whole, key=lambda row: (_missed(row, goal, limits), ksmd_percent(row)), default=None)


def _missed(row: Row, goal: Goal, limits: Mapping[str, float]) -> float:
    return sum(max(0.0, miss) for miss in misses(row, goal, limits))


def front_of(rows: Sequence[Row]) -> list[Row]:
    """The Pareto front of saving, time and CPU: runs that no other one beats; of equals the earliest."""
    whole = [(objectives(row, None), row) for row in rows if is_complete(row)]
    front = []
    for number, (its, row) in enumerate(whole):
        beaten = any(_beats(other, its) or (other == its and at < number) for at, (other, _) in enumerate(whole))
        if not beaten:
            front.append(row)
    return sorted(front, key=lambda row: -row["saved_mib"])


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return one != other and all(mine <= its for mine, its in zip(one, other, strict=True))


def answer(rows: Sequence[Row], today: Settings, goal: Goal | None, limits: Mapping[str, float]) -> dict[str, Any]:
    """The document of a search: each figure stands beside the number of its run. rows: by number, today's first."""
    about = {"goal": goal and str(goal), "limits": dict(limits), "today": _said(rows[0], today)}
    if goal is None:
        allowed = [row for row in rows if reaches(row, None, limits)]
        return {**about, "front": [_said(row, today) for row in front_of(allowed)]}
    best = best_of(rows, goal, limits)
    if best is None:
        return {**about, "reached": False, "best": None, "simpler": [], "margin_percent": MARGIN, "knobs": {}}
    return {
        **about,
        "reached": reaches(best, goal, limits),
        "best": _said(best, today),
        "margin_percent": MARGIN,
        "simpler": [_said(row, today) for row in _simpler(rows, best, today, goal, limits)],
        "knobs": _knobs(rows, best, today),
    }


def _said(row: Row, today: Settings) -> dict[str, Any]:
    """A run: number, settings, and the figures that count."""
    figures = ("ended", "saved_mib", "possible_mib", "saved_percent_of_possible", "seconds_to_90_percent")
    settings = _settings(row, today)
    said = {"run": row["run"], "settings": in_force(settings), "changed": changed(settings, today)}
    return {**said, **{name: row[name] for name in figures}, "ksmd_percent": round(ksmd_percent(row), 3)}


def _settings(row: Row, today: Settings) -> dict[str, str]:
    return {name: str(row[name]) for name in today}


def _simpler(rows: Sequence[Row], best: Row, today: Settings, goal: Goal, limits: Mapping[str, float]) -> list[Row]:
    """Runs that reach what is wanted with fewer knobs changed, and take little more CPU than the best one."""
    most = ksmd_percent(best) * (1 + MARGIN / 100)
    touched = {row["run"]: len(changed(_settings(row, today), today)) for row in rows}
    near = [
        row
        for row in rows
        if reaches(row, goal, limits) and ksmd_percent(row) <= most and touched[row["run"]] < touched[best["run"]]
    ]
    return sorted(near, key=lambda row: (touched[row["run"]], ksmd_percent(row)))[:SIMPLER]


def _knobs(rows: Sequence[Row], best: Row, today: Settings) -> dict[str, Any]:
    """By knob: the run that differs from the best by that knob alone, as it is today, and what changes by it."""
    its = _settings(best, today)
    found = {}
    for name in changed(its, today):
        back = {**its, name: today[name]}
        row = next((row for row in rows if _settings(row, today) == back and is_complete(row)), None)
        if row is not None:
            found[name] = {
                "run": row["run"],
                "saved_percent_of_possible": _less(row, best),
                "ksmd_percent": round(ksmd_percent(row) - ksmd_percent(best), 3),
            }
    return found


def _less(row: Row, best: Row) -> float:
    figure = "saved_percent_of_possible"
    return round((row[figure] or 0.0) - (best[figure] or 0.0), 3)
