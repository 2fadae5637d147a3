"""The course of a search: tries are made in batches, then the best ones with each knob put back to what it is today."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from vmdedup.errors import VmdedupError
from vmdedup.tune.answer import best_of
from vmdedup.tune.goal import Goal
from vmdedup.tune.knobs import POLICY, Settings, changed
from vmdedup.tune.search import BATCH, Search

Row = Mapping[str, Any]
Make = Callable[[int, Sequence[Settings]], list[Row]]  # rows of runs, numbered from the first on


def search(
    make: Make, search: Search, today: Settings, trials: int, goal: Goal | None, limits: Mapping[str, float]
) -> Iterator[Row]:
    """Rows as they are made. make: has runs made, in their order. VmdedupError: not even today's settings run."""
    rows: list[Row] = []
    while len(rows) < trials:
        asked = search.ask(min(BATCH, trials - len(rows)))
        for row in make(len(rows), asked):
            search.tell(row)
            rows.append(row)
            yield row
        _require_possible(rows[0])
    if goal is not None and (best := best_of(rows, goal, limits)) is not None:
        yield from make(trials, one_at_a_time({name: str(best[name]) for name in today}, today))


def _require_possible(first: Row) -> None:
    """VmdedupError: there is nothing to gain by any setting."""
    if first["ended"] == "complete" and not first["possible_mib"]:
        raise VmdedupError("no two pages of these guests are alike, so no setting can save anything; take others")


def one_at_a_time(best: Settings, today: Settings) -> list[Settings]:
    """The best settings with one knob as it is today, for each that differs."""
    differ = changed(best, today)
    if differ == [POLICY]:
        return []  # that is today's run, which is made already
    return [{**best, name: today[name]} for name in differ]
