"""Results side by side, as `vmdedup compare` has them: as a document, and as a picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from vmdedup.errors import UsageError
from vmdedup.report.compare.alignment import By
from vmdedup.report.compare.document import compare
from vmdedup.report.compare.figures import Figures, from_result
from vmdedup.report.compare.reading import read_figures
from vmdedup.report.savings import draw_series, plot_series
from vmdedup.result.run import Result


def compare_results(*results: Result | str | Path, by: By = "time", **labelled: Result | str | Path) -> dict[str, Any]:
    """What differs between runs, and why, as far as the data show it: what `vmdedup compare --json` prints.

    results: at least two of Result, results directories, TOML files of published figures. Of a Result the label is its
    scenario's name; labelled: by labels of your own. by: "time", or "scans", samples after as many full scans.
    UsageError: there is nothing to compare.
    """
    figures = _figures(results, labelled)
    if len(figures) < 2:
        raise UsageError("there is nothing to compare with; give at least two results")
    return compare(figures, by)


def plot_savings(
    *results: Result | str | Path,
    path: str | Path | None = None,
    title: str = "",
    force: bool = False,
    **labelled: Result | str | Path,
) -> Any:
    """Savings over time of runs, and what was possible: a matplotlib figure, or the path that it was written to.

    results, labelled: as of compare_results; one will do. path: a .png, .svg or .pdf; force: replace what is there.
    UsageError: there is nothing to draw, or the extra `plot` is not installed, with the remedy.
    """
    figures = _figures(results, labelled)
    return draw_series(figures, title) if path is None else plot_series(figures, path, title, force)


def _figures(results: tuple[Result | str | Path, ...], labelled: dict[str, Result | str | Path]) -> list[Figures]:
    found: list[Figures] = []
    for result in results:
        found += _of(result, _label(result, found) if isinstance(result, Result) else None)
    for label, result in labelled.items():
        found += _of(result, label)
    return found


def _of(result: Result | str | Path, label: str | None) -> list[Figures]:
    """Figures of one; of a directory of several policies, of each. label: None: as its path ends."""
    if isinstance(result, Result):
        return [from_result(result, str(label))]
    read = read_figures([Path(result)])
    return read if label is None else [replace(figures, label=label) for figures in read]


def _label(result: Result, others: list[Figures]) -> str:
    """Its scenario's name, with a number if another has that name."""
    name = str(result.run["name"])
    taken = {figures.label for figures in others}
    labels = [name, *(f"{name}-{number}" for number in range(2, len(taken) + 2))]
    return next(label for label in labels if label not in taken)
