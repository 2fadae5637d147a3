"""Pictures as PNG, SVG or PDF, all in one style. The only importer of matplotlib.

A picture has one panel or several beside each other, with the same axes. A line has the same look in all of them, and
stands in the legend once; the legend is below the panels, never on them. What a paper says is dotted, what was possible
is dashed, both in the colour of the line that they belong to. Where x is words there are bars.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vmdedup.errors import EnvironmentLacksError, UsageError
from vmdedup.outputs import MARK, Output, check_output
from vmdedup.report.style import Style, style_of
from vmdedup.shown import shown, shown_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS: Final = (".png", ".svg", ".pdf")
# Names of runs are anybody's: a dollar sign in them begins no formula.
_SETTINGS: Final[Any] = {
    "svg.hashsalt": "vmdedup",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "text.parse_math": False,
    "font.size": 10,
}
# Without a date, so that the same lines give the same file; with the mark by which a file is ours to replace.
_METADATA: Final[Mapping[str, dict[str, Any]]] = {
    ".svg": {"Date": None, "Creator": MARK},
    ".png": {"Software": MARK},
    ".pdf": {"CreationDate": None, "Creator": MARK},
}
_FEW: Final = 20  # points that are all marked; of more, about as many as _MARKS
_MARKS: Final = 8
_WIDTH: Final = 9.0  # inches
_BELOW: Final = 0.02  # of the height: a line at 0 does not lie on the axis
_BAR_ROOM: Final = 0.8  # of the distance between two words


class Kind(StrEnum):
    """What a line shows."""

    OURS = "ours"
    PAPER = "paper"
    POSSIBLE = "possible"


@dataclass(frozen=True)
class Line:
    """A line of points in a panel, or bars where x is words.

    label: lines with the same one have the same look. No x at all: the only y is a level, from one side to the other.
    marked: its points were measured, and are seen.
    """

    label: str
    x: Sequence[float] | Sequence[str]
    y: Sequence[float]
    panel: str = ""
    kind: Kind = Kind.OURS
    marked: bool = True

    @property
    def caption(self) -> str:
        """What stands in the legend."""
        name = shown(self.label)
        return name if self.kind is Kind.OURS else f"{name}, {self.kind.value}"


@dataclass(frozen=True)
class Frame:
    """What stands around the lines. x, y: what the axes show, with units. log: axes by powers of ten, "", "x", "xy"."""

    x: str
    y: str
    title: str = ""
    log: str = ""


def check_plot(path: Path, force: bool = True) -> None:
    """Raise what keeps a plot from being made: a wrong ending (UsageError), no matplotlib (EnvironmentLacksError).

    Without force also a file that must not be replaced (UsageError).
    """
    check_output(path, force)
    if path.suffix not in FORMATS:
        raise UsageError(f"{path} ends in none of {', '.join(FORMATS)}; choose one of them for the plot")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise EnvironmentLacksError("plots need matplotlib; install it: pip install 'vmdedup[plot]'") from None


def check_ending(ending: str) -> None:
    """UsageError: no picture can have this ending (which is told without the dot)."""
    if f".{ending}" not in FORMATS:
        raise UsageError(f"--pictures {ending}: there are {', '.join(each.removeprefix('.') for each in FORMATS)}")


def plot_lines(lines: Sequence[Line], path: str | Path, frame: Frame, force: bool = False) -> Path:
    """Draw lines into a file; the same lines give the same file. force: replace whatever is there.

    path: ends in one of FORMATS. UsageError: it does not, or must not be written. EnvironmentLacksError: matplotlib is
    not installed. VmdedupError: it cannot be written.
    """
    path = Path(path)
    check_plot(path, force)
    from matplotlib import rc_context

    kind, metadata = path.suffix.removeprefix("."), _METADATA[path.suffix]
    with Output(path, force) as output, rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*")  # a name in letters that the font has not
        drawing = draw_lines(lines, frame)
        output.write(lambda file: drawing.savefig(file, format=kind, dpi=144, metadata=metadata))
    return path


def draw_lines(lines: Sequence[Line], frame: Frame) -> Figure:
    """The picture as a matplotlib figure: a pair of axes for each panel, in the order in which lines name them."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Drawing

    panels = list(dict.fromkeys(line.panel for line in lines))
    columns = len(panels) if len(panels) <= 3 else 2
    rows = ceil(len(panels) / columns)
    styles = _styles(lines)
    with rc_context(_SETTINGS):
        drawing = Drawing(figsize=(_WIDTH, 1.6 + 3.2 * rows), layout="constrained")
        grid = drawing.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        everywhere = [axes for row in grid for axes in row]
        entries: dict[str, Any] = {}  # of the legend: what stands in several panels once
        for axes, panel in zip(everywhere, panels, strict=False):
            for caption, drawn in _draw_panel(axes, [line for line in lines if line.panel == panel], styles):
                entries.setdefault(caption, drawn)
            axes.set_title(shown(panel), fontsize="medium")
        for axes in everywhere[len(panels) :]:
            axes.remove()
        _frame(drawing, lines, frame)
        drawing.suptitle(shown(frame.title), fontsize="large")
        _legend(drawing, entries)
    return drawing


def _frame(drawing: Figure, lines: Sequence[Line], frame: Frame) -> None:
    """What the panels' axes show. All panels have the same; names stand at the outer ones."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    for axes in drawing.axes:
        for name in frame.log:
            getattr(axes, f"set_{name}scale")("log")
            axis = getattr(axes, f"{name}axis")
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
        place = axes.get_subplotspec()
        if place is not None and place.is_last_row():
            axes.set_xlabel(frame.x)
        if place is not None and place.is_first_col():
            axes.set_ylabel(frame.y)
    if "y" not in frame.log and min((value for line in lines for value in line.y), default=0.0) >= 0:
        below = 0.0 if any(map(_is_bars, lines)) else _BELOW * drawing.axes[0].get_ylim()[1]
        drawing.axes[0].set_ylim(bottom=-below)


def _styles(lines: Sequence[Line]) -> dict[str, Style]:
    """By label. Who only has a paper's figure comes last, so that others keep their look without it."""
    ours = [line.label for line in lines if line.kind is not Kind.PAPER]
    return {label: style_of(number) for number, label in enumerate(dict.fromkeys([*ours, *(x.label for x in lines)]))}


def _draw_panel(axes: Axes, lines: Sequence[Line], styles: Mapping[str, Style]) -> Iterator[tuple[str, Any]]:
    """Draw it. Returns what was drawn, by what it is called."""
    bars = [line for line in lines if _is_bars(line)]
    for number, line in enumerate(bars):
        yield line.caption, _draw_bars(axes, line, styles[line.label], number, len(bars))
    for line in lines:
        if not _is_bars(line):
            yield line.caption, _draw_line(axes, line, styles[line.label], list(styles).index(line.label))
    axes.grid(alpha=0.3, axis="y" if bars else "both")
    axes.set_axisbelow(True)


def _is_bars(line: Line) -> bool:
    return bool(line.x) and isinstance(line.x[0], str)


def _draw_bars(axes: Axes, line: Line, style: Style, number: int, count: int) -> Any:
    """The bars of one label, beside those of the others at each word, with their numbers above them."""
    width = _BAR_ROOM / count
    places = [place + width * (number - (count - 1) / 2) for place in range(len(line.x))]
    hatch = "///" if line.kind is Kind.PAPER else ""
    bars = axes.bar(
        places, line.y, width, color="white" if hatch else style.colour, edgecolor=style.colour, hatch=hatch,
        label=line.caption,
    )  # fmt: skip
    axes.bar_label(bars, fmt="%.3g", padding=2, fontsize="x-small")
    axes.set_xticks(range(len(line.x)), [shown_lines(word) for word in line.x])
    axes.margins(y=0.1)
    return bars


def _draw_line(axes: Axes, line: Line, style: Style, number: int) -> Any:
    look: dict[str, Any] = {"color": style.colour, "label": line.caption}
    if line.kind is Kind.PAPER:
        look |= {"linestyle": (0, (1, 1.2)), "linewidth": 1.8, "zorder": 3}
        look |= {"marker": "x", "markersize": 8, "markeredgewidth": 2.2}
    elif line.kind is Kind.POSSIBLE:
        look |= {"linestyle": (0, (3, 2)), "linewidth": 1.0, "alpha": 0.7}
    else:
        look |= {"linestyle": (0, style.dashes) if style.dashes else "-", "linewidth": style.width}
        if line.marked:
            look |= {"marker": style.mark, "markersize": style.size, "markerfacecolor": "none", "markeredgewidth": 1.2}
    if not line.x:
        (level,) = line.y
        return axes.axhline(level, **{key: value for key, value in look.items() if "marker" not in key})
    (drawn,) = axes.plot(line.x, line.y, markevery=_every(len(line.x), number), **look)
    return drawn


def _every(points: int, number: int) -> int | tuple[int, int]:
    """Which points are marked: of many only some, and of each line others, so that marks do not hide each other."""
    if points <= _FEW:
        return 1
    step = points // _MARKS
    return (number * step // 3) % step, step


def _legend(drawing: Figure, entries: Mapping[str, Any]) -> None:
    """Below all panels, in as many columns as there is room for."""
    if entries:
        longest = max(map(len, entries))
        columns = max(1, min(len(entries), 110 // (longest + 8)))
        drawing.legend(
            list(entries.values()), list(entries), loc="outside lower center", ncols=columns, fontsize="small",
            handlelength=4.5, frameon=False,
        )  # fmt: skip
