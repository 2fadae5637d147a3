"""vmdedup compare A B…: runs side by side, what differs and why."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmdedup.cli.say import say_document, warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmdedup.report.compare.alignment import By

DIFFERENT = 3

HELP = """Lay results side by side: emulated, measured on the kernel's KSM or on QEMU guests, published.

Each argument is the results directory of a run, one of several policies, or a TOML file of published figures; with
--plot there may be one alone. Shown are the figures at the
end, savings over time, and how far each run is from the first, in per cent; then the reasons, as far as the data
show them. With --fail-above, exit status 3 says that the runs differ more.

\b
  vmdedup compare runs/emulated runs/kernel
  vmdedup compare runs/emulated runs/kernel --by scans --plot savings.svg
  vmdedup compare runs/mixed-20250101-120000 --plot policies.pdf
  vmdedup compare runs/main runs/branch --fail-above 1% --fail-on saved_pages
"""


class Axis(StrEnum):
    """What samples are laid beside each other by."""

    time = "time"
    scans = "scans"


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="A B…", help="Results directories, or published figures.")],
    by: Annotated[Axis, typer.Option(help="Samples at the same time, or after as many full scans.")] = Axis.time,
    at: Annotated[
        list[str] | None,
        typer.Option(metavar="PERCENT", help="Time when so much of what was possible was saved [default: 50,90,99]."),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw savings over time into this .png, .svg or .pdf.")] = None,
    force: Annotated[bool, typer.Option("--force", help="With --plot: replace the file, whatever it is.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead.")] = False,
    fail_above: Annotated[
        str | None, typer.Option(metavar="PERCENT", help="Exit with 3 if a figure differs by more, e.g. 1%.")
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(metavar="FIGURE", help="A figure that --fail-above looks at; may be repeated."),
    ] = None,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colour (also: NO_COLOR=1).")] = False,
) -> int:
    """Returns the exit status."""
    from vmdedup.errors import UsageError
    from vmdedup.report.compare.document import compare as compare_runs
    from vmdedup.report.compare.reading import read_figures

    allowed = _allowed(fail_above, fail_on)
    percents = _percents(at)
    figures = read_figures(runs)
    if len(figures) < 2 and (plot is None or allowed is not None):
        raise UsageError("there is nothing to compare with; give at least two results, or --plot to draw the one")
    if plot is not None:
        from vmdedup.report.savings import plot_series

        plot_series(figures, plot, force=force)
    document = compare_runs(figures, _by(by), percents)
    _show(document, as_json, no_color)
    return 0 if allowed is None else _gate(document, allowed, fail_on or ())


def _by(axis: Axis) -> By:
    return "scans" if axis is Axis.scans else "time"


def _percents(texts: Sequence[str] | None) -> list[int]:
    """Whole per cents from 1 to 100, ascending, from options such as 50,90 or 99%."""
    from vmdedup.errors import UsageError
    from vmdedup.result.summary import MILESTONES

    words = [word.strip().removesuffix("%") for text in texts or () for word in text.split(",")]
    if wrong := [word for word in words if not word.isdecimal() or not 1 <= int(word) <= 100]:
        raise UsageError(f"--at {wrong[0]}: give whole per cents from 1 to 100, such as 50,90,99")
    return sorted({int(word) for word in words}) or list(MILESTONES)


def _allowed(fail_above: str | None, fail_on: Sequence[str] | None) -> float | None:
    """The per cents that --fail-above names, or None without it."""
    from vmdedup.errors import UsageError
    from vmdedup.units import parse_share

    if fail_above is None:
        if fail_on:
            raise UsageError("--fail-on says which figures --fail-above looks at; give that too, e.g. 1%")
        return None
    text = fail_above if fail_above.endswith("%") else f"{fail_above}%"
    return 100 * parse_share(text)


def _show(document: dict[str, Any], as_json: bool, no_color: bool) -> None:
    if as_json:
        say_document(document)
        return
    from vmdedup.report.compare.text import render
    from vmdedup.report.console import console

    render(document, console(no_color, to_stdout=True))


def _gate(document: dict[str, Any], allowed: float, names: Sequence[str]) -> int:
    from vmdedup.report.compare.gate import violations

    lines = violations(document, allowed, names)
    for line in lines:
        warn(line)
    return DIFFERENT if lines else 0
