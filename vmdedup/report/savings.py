"""Savings over time of one run or several in one picture. Units: MiB and seconds.

A run's savings are a line, what was possible in it a dashed one in the same colour; published figures of which only
the level is known are a dotted line across.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vmdedup.errors import UsageError
from vmdedup.report.compare.figures import BACKENDS, Figures, from_result, number
from vmdedup.report.plot import Frame, Kind, Line, check_plot, draw_lines, plot_lines
from vmdedup.result.run import Result

_MEASURED = ("kernel", "qemu", "published")  # what was measured is seen to consist of samples


def plot_series(
    results: Mapping[str, Result] | Sequence[Figures], path: str | Path, title: str = "", force: bool = False
) -> Path:
    """Draw savings over time into a file; the same results give the same file. force: replace whatever is there.

    results: runs by the label that they shall have, or figures. path: as of plot_lines(), and errors, too.
    UsageError: there is nothing to draw.
    """
    check_plot(Path(path), force)
    return plot_lines(_lines(results), path, _frame(title), force)


def draw_series(results: Mapping[str, Result] | Sequence[Figures], title: str = "") -> Any:
    """The picture as a matplotlib figure with one pair of axes. UsageError: no run has savings to draw."""
    return draw_lines(_lines(results), _frame(title))


def _frame(title: str) -> Frame:
    return Frame("time, s", "saved, MiB", title)


def _lines(results: Mapping[str, Result] | Sequence[Figures]) -> list[Line]:
    lines = [line for figures in _figures(results) for line in _of_run(figures)]
    if not lines:
        raise UsageError("no run has savings to draw; give results directories with saved_pages in their series")
    return lines


def _figures(results: Mapping[str, Result] | Sequence[Figures]) -> list[Figures]:
    if isinstance(results, Mapping):
        return [from_result(result, label) for label, result in results.items()]
    return list(results)


def _of_run(figures: Figures) -> Iterator[Line]:
    """Its savings, and what was possible; or a level; or nothing."""
    saved, possible = _points(figures, "saved_pages"), _points(figures, "possible_pages")
    level = figures.end("saved_pages")
    label = f"{figures.label} ({BACKENDS.get(figures.backend, figures.backend)})"
    if len(saved[0]) > 1:
        yield Line(label, *saved, marked=figures.backend in _MEASURED)
    elif level is not None:
        yield Line(label, (), [figures.mib(level)], kind=Kind.PAPER)
    else:
        return
    if len(possible[0]) > 1:
        yield Line(label, *possible, kind=Kind.POSSIBLE)


def _points(figures: Figures, column: str) -> tuple[list[float], list[float]]:
    """Times and MiB of the samples that have the column."""
    pairs = [(float(row["time_s"]), value) for row in figures.rows if (value := number(row.get(column))) is not None]
    return [time for time, _ in pairs], [figures.mib(value) for _, value in pairs]
