"""Samples of several runs side by side: at the same time, or after the same number of full scans.

Of each run the last sample at or before the moment is taken; nothing is interpolated, so every number shown is one
that was measured. Before a run's first sample and after its last one it has none.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, TypeVar

from vmdedup.report.compare.figures import Figures, Row, Value, number
from vmdedup.report.compare.measures import percent

By = Literal["time", "scans"]
_COLUMNS: Final = {"time": "time_s", "scans": "full_scans"}
SLACK: Final = 1e-9  # seconds; times are sums of floating-point intervals


@dataclass(frozen=True)
class Moment:
    """A time in seconds, or a number of full scans, with each run's sample of then (None: it has none)."""

    at: Value
    rows: tuple[Row | None, ...]

    def value(self, run: int, name: str) -> Value | None:
        """A figure of a run at this moment, or None."""
        row = self.rows[run]
        return None if row is None else number(row.get(name))

    def percent(self, run: int, name: str) -> float | None:
        """How far a run's figure is from the first run's, in per cent, or None."""
        return percent(self.value(0, name), self.value(run, name))


def align(runs: Sequence[Figures], by: By) -> list[Moment]:
    """The moments of the first run that has a series, with everybody's samples. Empty if nobody has one.

    By scans: the numbers of full scans at which that run has a sample, as far as all runs came.
    """
    column = _COLUMNS[by]
    keys = [_keys(figures, column) for figures in runs]
    base = next((each for each in keys if each), [])
    shortest = min((each[-1] for each in keys if each), default=0)
    grid = sorted({key for key in base if by == "time" or 0 < key <= shortest})
    pairs = list(zip(runs, keys, strict=True))
    return [Moment(at, tuple(_latest(figures.rows, key, at, by) for figures, key in pairs)) for at in grid]


T = TypeVar("T")


def thinned(moments: Sequence[T], most: int) -> list[T]:
    """At most so many of them, evenly spread, the first and the last among them."""
    if len(moments) <= most:
        return list(moments)
    step = (len(moments) - 1) / (most - 1)
    return [moments[round(number * step)] for number in range(most)]


def _keys(figures: Figures, column: str) -> list[Value]:
    """The time or the scans of each sample; none if the series does not say."""
    keys = [number(row.get(column)) for row in figures.rows]
    return [key for key in keys if key is not None] if None not in keys else []


def _latest(rows: Sequence[Row], keys: Sequence[Value], at: Value, by: By) -> Row | None:
    if not keys:
        return None
    position = bisect_right(keys, at + (SLACK if by == "time" else 0)) - 1
    over = by == "time" and at > keys[-1] + _interval(keys)
    return None if position < 0 or over else rows[position]


def _interval(keys: Sequence[Value]) -> float:
    """How long a run's last sample holds good: as long as its longest pause between two samples."""
    return max((float(b) - float(a) for a, b in pairwise(keys)), default=0.0) + SLACK


def widest(moments: Sequence[Moment], run: int, name: str) -> tuple[Moment, Value] | None:
    """The moment at which a run's figure is farthest from the first run's, and by how much; None: never both known."""
    both = [(moment, one, other) for moment in moments for one, other in [_both(moment, run, name)] if one is not None]
    gaps = [(moment, other - one) for moment, one, other in both if other is not None]
    return max(gaps, key=lambda gap: abs(gap[1])) if gaps else None


def _both(moment: Moment, run: int, name: str) -> tuple[Value | None, Value | None]:
    return moment.value(0, name), moment.value(run, name)
