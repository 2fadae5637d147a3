"""Savings over time of several runs in one picture, as PNG or SVG. The only importer of matplotlib.

A run's savings are a line, what was possible in it a dashed one in the same colour; published figures of which only
the level is known are a dotted line across. Units: MiB and seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vmdedup.errors import EnvironmentLacksError, UsageError
from vmdedup.outputs import MARK, Output, check_output
from vmdedup.report.compare.figures import BACKENDS, Figures, from_result, number
from vmdedup.result.run import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS: Final = (".png", ".svg")
_MARKERS: Final = {"kernel": "o", "qemu": "o", "published": "s"}  # what was measured is seen to consist of samples
_MOST_MARKS: Final = 25
_SETTINGS: Final[Any] = {"svg.hashsalt": "vmdedup", "svg.fonttype": "none", "font.size": 10}


def plot_series(
    results: Mapping[str, Result] | Sequence[Figures], path: str | Path, title: str = "", force: bool = False
) -> Path:
    """Draw savings over time into a file; the same results give the same file. force: replace whatever is there.

    results: runs by the label that they shall have, or figures. path: ends in .png or .svg. UsageError: it does not,
    or there is nothing to draw. EnvironmentLacksError: matplotlib is not installed.
    """
    check_plot(Path(path))
    return _save(draw_series(results, title), Path(path), force)


@dataclass(frozen=True)
class Line:
    """A line of points. style: of matplotlib's format strings, such as "o-" for what was measured, "--" for a law."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    style: str = "o-"


def plot_lines(
    lines: Sequence[Line], path: str | Path, x: str, y: str, title: str = "", force: bool = False
) -> Path:
    """Draw lines of points into a file. x, y: what the axes show, with units. Errors as of plot_series()."""
    check_plot(Path(path))
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Drawing

    with rc_context(_SETTINGS):
        drawing = Drawing(figsize=(9, 5), layout="constrained")
        axes = drawing.add_subplot()
        for line in lines:
            axes.plot(line.x, line.y, line.style, label=line.label, markersize=5)
        axes.set(xlabel=x, ylabel=y, title=title)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        axes.grid(alpha=0.3)
        axes.legend(loc="best", fontsize="small")
    return _save(drawing, Path(path), force)


def _save(drawing: Figure, path: Path, force: bool) -> Path:
    from matplotlib import rc_context

    kind = path.suffix.removeprefix(".")
    metadata = {"Date": None, "Creator": MARK} if kind == "svg" else {"Software": MARK}
    with Output(path, force) as output, rc_context(_SETTINGS):
        output.write(lambda file: drawing.savefig(file, format=kind, dpi=144, metadata=metadata))
    return path


def check_plot(path: Path, force: bool = True) -> None:
    """Raise what keeps a plot from being made: a wrong ending (UsageError), no matplotlib (EnvironmentLacksError).

    Without force also a file that must not be replaced (UsageError).
    """
    check_output(path, force)
    if path.suffix not in FORMATS:
        raise UsageError(f"{path} ends in neither {' nor '.join(FORMATS)}; choose one of them for --plot")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise EnvironmentLacksError("plots need matplotlib; install it: pip install 'vmdedup[plot]'") from None


def draw_series(results: Mapping[str, Result] | Sequence[Figures], title: str = "") -> Figure:
    """The picture as a matplotlib figure with one pair of axes. UsageError: no run has savings to draw."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Drawing

    runs = _figures(results)
    with rc_context(_SETTINGS):
        drawing = Drawing(figsize=(9, 5), layout="constrained")
        axes = drawing.add_subplot()
        drawn = sum(_draw(axes, figures, f"C{position}") for position, figures in enumerate(runs))
        if not drawn:
            raise UsageError("no run has savings to draw; give results directories with saved_pages in their series")
        axes.set_xlabel("time, s")
        axes.set_ylabel("saved, MiB")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        axes.grid(alpha=0.3)
        axes.legend(loc="best", fontsize="small")
        if title:
            axes.set_title(title)
    return drawing


def _figures(results: Mapping[str, Result] | Sequence[Figures]) -> list[Figures]:
    if isinstance(results, Mapping):
        return [from_result(result, label) for label, result in results.items()]
    return list(results)


def _draw(axes: Axes, figures: Figures, colour: str) -> int:
    """Draw one run. Returns how many lines."""
    kind = BACKENDS.get(figures.backend, figures.backend)
    saved, possible = _points(figures, "saved_pages"), _points(figures, "possible_pages")
    level = figures.end("saved_pages")
    if len(saved[0]) > 1:
        marker, every = _MARKERS.get(figures.backend, ""), max(1, len(saved[0]) // _MOST_MARKS)
        label = f"{figures.label} ({kind})"
        axes.plot(*saved, color=colour, label=label, marker=marker, markersize=4, markevery=every)
    elif level is not None:
        axes.axhline(figures.mib(level), color=colour, linestyle=":", label=f"{figures.label} ({kind}, level)")
    else:
        return 0
    if len(possible[0]) > 1:
        axes.plot(*possible, color=colour, linestyle="--", linewidth=1, alpha=0.6, label=f"{figures.label}: possible")
    return 1


def _points(figures: Figures, column: str) -> tuple[list[float], list[float]]:
    """Times and MiB of the samples that have the column."""
    pairs = [(float(row["time_s"]), value) for row in figures.rows if (value := number(row.get(column))) is not None]
    return [time for time, _ in pairs], [figures.mib(value) for _, value in pairs]
