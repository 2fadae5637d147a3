"""The picture of a sweep: a figure over the first axis that has numbers, a line for each combination of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from vmdedup.errors import UsageError
from vmdedup.report.plot import Frame, Line, plot_lines
from vmdedup.report.sweep import Row, by_point, values_of
from vmdedup.result.sweep import FIGURES
from vmdedup.shown import quoted, suggest

MANY: Final = 8  # lines in a panel; with more, the last axis makes panels
WIDE: Final = 20  # times the smallest value, from which on the axis goes by powers of ten


def check_column(name: str) -> None:
    """UsageError: no figure of a row is called so."""
    if name not in FIGURES:
        raise UsageError(f"--show: no figure is called {quoted(name)}; {suggest(name, FIGURES)}")


def plot_sweep(document: Mapping[str, Any], rows: Sequence[Row], column: str, path: Path, force: bool) -> None:
    """Draw it, means of seeds. document: sweep.json. Errors as of plot_lines; UsageError: nothing to draw."""
    axes = [axis["name"] for axis in document["axes"]]
    if not axes:
        raise UsageError("nothing varies, so there is nothing to draw; give --vary")
    x = first_numeric(axes, rows)
    lines = list(sweep_lines(axes, x, rows, column))
    if not lines:
        raise UsageError(f"no run has {column}, so there is nothing to draw")
    numbers = [value for line in lines for value in line.x if not isinstance(value, str)]
    log = "x" if numbers and min(numbers) > 0 and max(numbers) >= WIDE * min(numbers) else ""
    plot_lines(lines, path, Frame(x, f"{column}: {FIGURES[column][1]}", str(document["scenario"]), log), force)


def first_numeric(axes: Sequence[str], rows: Sequence[Row]) -> str:
    """The first axis that has numbers only; where none has, the first."""
    return next((axis for axis in axes if all(isinstance(row[axis], int | float) for row in rows)), axes[0])


def sweep_lines(axes: Sequence[str], x: str, rows: Sequence[Row], column: str) -> list[Line]:
    """A line for each combination of the other axes' values: a figure, the mean of all seeds, over axis x."""
    others = [axis for axis in axes if axis != x]
    points: dict[tuple[Any, ...], list[tuple[Any, float]]] = {}
    for key, its in by_point(axes, rows).items():
        if found := values_of(its, column):
            values = dict(zip(axes, key, strict=True))
            place = tuple(values[axis] for axis in others)
            points.setdefault(place, []).append((values[x], sum(found) / len(found)))
    has_panels = len(points) > MANY and len(others) > 1
    return [_line(others, place, its, column, has_panels) for place, its in points.items()]


def _line(
    others: Sequence[str], place: Sequence[Any], points: list[tuple[Any, float]], column: str, panels: bool
) -> Line:
    said = [f"{axis}={value}" for axis, value in zip(others, place, strict=True) if value is not None]
    panel = f"{others[-1]}={place[-1]}" if panels else ""
    label = ", ".join(said[:-1] if panels and place[-1] is not None else said) or column
    are_numbers = all(isinstance(value, int | float) for value, _ in points)
    ordered = sorted(points) if are_numbers else [(str(value), y) for value, y in points]
    return Line(label, [value for value, _ in ordered], [y for _, y in ordered], panel)
