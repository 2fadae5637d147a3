"""Charts as inline SVG, in the page's own colours, each with a name that a screen reader says.

Curves lie in a drawing of their own, 0 to 1 in both directions, so that a small script (chart.js) zooms by moving its
window; axes and their numbers stand around it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vmdedup.page.document import asset, escaped

MOST_POINTS: Final = 600  # of a curve; of more, as many, evenly
MOST_CELLS: Final = 48  # rows of a matrix
COLOURS: Final = 8
_DASHES: Final = ("", "7 3", "2 2", "9 3 2 3", "4 4", "1 3", "9 2 2 2 2 2", "3 6")
_WIDE, _HIGH, _LEFT, _BELOW, _ABOVE, _RIGHT = 760, 300, 64, 44, 20, 16
# Colours for charts in somebody else's page, whose own are not known.
_VARIABLES: Final = (
    "--text: currentColor; --soft: currentColor; --line: #8884; --mark: #fc04; --c0: #1f6feb; --c1: #bc4c00;",
    "--c2: #1a7f37; --c3: #8250df; --c4: #bf3989; --c5: #9a6700; --c6: #0a7ea4; --c7: #6e7781;",
)
_TICKS: Final = 5  # spaces between numbers of an axis


@dataclass(frozen=True)
class Curve:
    """Points joined by lines. number: which colour; curves of one run have the same. faint: what was possible."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    number: int = 0
    faint: bool = False


def line_chart(title: str, curves: Sequence[Curve], x: str, y: str) -> str:
    """Curves over numbers. x, y: what the axes show, with units. "" if there is nothing to draw."""
    curves = [curve for curve in curves if len(curve.x) > 1]
    if not curves:
        return ""
    left, right = (end(value for curve in curves for value in curve.x) for end in (min, max))
    low = min(0.0, *(value for curve in curves for value in curve.y))
    high = _round_up(max((value for curve in curves for value in curve.y), default=1.0) - low) + low
    right = right if right > left else left + 1
    lines = "".join(_curve(curve, (left, right, low, high)) for curve in curves)
    inner = (_LEFT, _ABOVE, _WIDE - _LEFT - _RIGHT, _HIGH - _ABOVE - _BELOW)
    ends = ", ".join(f"{curve.label} {curve.y[-1]:,.4g}" for curve in curves)
    said = f"{title}: {y} over {x}, from {left:g} to {right:g}; at the end {ends}"
    return f"""<figure class="chart"><figcaption>{escaped(title)}</figcaption>
<div class="scroll"><svg viewBox="0 0 {_WIDE} {_HIGH}" role="img" aria-label="{escaped(said)}" tabindex="0"
 data-left="{left!r}" data-right="{right!r}">{_grid(inner, (left, right, low, high))}
<text class="axis" x="{_LEFT + inner[2] / 2:g}" y="{_HIGH - 6}">{escaped(x)}</text>
<text class="axis" transform="rotate(-90)" x="{-(_ABOVE + inner[3] / 2):g}" y="13">{escaped(y)}</text>
<svg class="plot" x="{inner[0]}" y="{inner[1]}" width="{inner[2]}" height="{inner[3]}" viewBox="0 0 1 1"
 preserveAspectRatio="none">{lines}</svg></svg></div>
<ul class="legend">{"".join(map(_legend, curves))}</ul></figure>
"""


def bar_chart(title: str, parts: Sequence[str], rows: Mapping[str, Sequence[float]], unit: str) -> str:
    """A bar a row, of parts one after another. "" if there is nothing to draw."""
    most = max((sum(values) for values in rows.values()), default=0.0)
    if most <= 0:
        return ""
    drawn = []
    for number, (name, values) in enumerate(rows.items()):
        at, above = 0.0, 26 * number
        said = ", ".join(f"{part} {value:,.1f}" for part, value in zip(parts, values, strict=True))
        drawn.append(f"<g><title>{escaped(f'{name}: {said} {unit}')}</title>")
        drawn.append(f'<text class="name" x="150" y="{above + 17}">{escaped(name[:22])}</text>')
        for colour, value in enumerate(values):
            wide = max(0.0, value) / most * 500
            drawn.append(
                f'<rect class="fill c{colour}" x="{160 + at:.1f}" y="{above + 4}" width="{wide:.1f}" height="18"/>'
            )
            at += wide
        drawn.append(f'<text class="value" x="{166 + at:.1f}" y="{above + 17}">{sum(values):,.1f}</text></g>')
    said = "; ".join(f"{name} {sum(values):,.1f}" for name, values in rows.items())
    legend = "".join(
        f'<li class="c{at}"><span class="key"></span>{escaped(part)}</li>' for at, part in enumerate(parts)
    )
    named = escaped(f"{title}, {unit}: {said}")
    return f"""<figure class="chart"><figcaption>{escaped(title)}</figcaption><div class="scroll">
<svg viewBox="0 0 {_WIDE} {26 * len(rows) + 4}" role="img" aria-label="{named}">{"".join(drawn)}</svg>
</div><ul class="legend">{legend}</ul></figure>
"""


def matrix_chart(title: str, names: Sequence[str], pairs: Mapping[tuple[str, str], float], unit: str) -> str:
    """Who has how much in common with whom: the darker, the more. "" if there is nothing to draw.

    pairs: by both names, in whichever order. Of more than MOST_CELLS names, those that share most.
    """
    sums = {name: sum(value for pair, value in pairs.items() if name in pair) for name in names}
    chosen = set(sorted(names, key=lambda name: -sums[name])[:MOST_CELLS])
    names = [name for name in names if name in chosen]
    most = max(pairs.values(), default=0.0)
    if most <= 0 or len(names) < 2:
        return ""
    size, room = max(9, min(28, 560 // len(names))), 120
    cells = []
    for row, one in enumerate(names):
        cells.append(f'<text class="name" x="{room - 6}" y="{row * size + size * 0.7:.1f}">{escaped(one[:16])}</text>')
        for column, two in enumerate(names[: row + 1]):
            value = pairs.get((one, two), pairs.get((two, one), 0.0))
            where = f'x="{room + column * size}" y="{row * size}" width="{size - 1}" height="{size - 1}"'
            tip = escaped(f"{one}, {two}: {value:,.1f} {unit}")
            opacity = f"{0.06 + 0.94 * value / most:.2f}"
            cells.append(f'<rect class="cell" {where} fill-opacity="{opacity}"><title>{tip}</title></rect>')
    (one, two), top = max(pairs.items(), key=lambda pair: pair[1])
    said = f"{title}: {len(names)} by {len(names)}; most is {top:,.1f} {unit}, of {one} and {two}"
    wide, high = room + len(names) * size, len(names) * size
    return f"""<figure class="chart matrix"><figcaption>{escaped(title)}</figcaption><div class="scroll">
<svg viewBox="0 0 {wide} {high}" style="max-width:{wide}px" role="img" aria-label="{escaped(said)}">
{"".join(cells)}</svg>
</div><p class="soft">{escaped(said)}</p></figure>
"""


def chart_style() -> str:
    """What pages with charts need beside the style of all pages."""
    return asset("vmdedup.page", "chart.css")


def framed_style() -> str:
    """Style for charts in somebody else's page: nothing outside of class vmdedup changes."""
    return f".vmdedup {{ {' '.join(_VARIABLES)} }}\n{chart_style()}"


def chart_script() -> str:
    """Zoom."""
    return asset("vmdedup.page", "chart.js")


def _curve(curve: Curve, around: tuple[float, float, float, float]) -> str:
    left, right, low, high = around
    every = max(1, -(-len(curve.x) // MOST_POINTS))
    chosen = [*range(0, len(curve.x) - 1, every), len(curve.x) - 1]
    points = " ".join(
        f"{(curve.x[at] - left) / (right - left):.5f},{1 - (curve.y[at] - low) / (high - low):.5f}" for at in chosen
    )
    dashes = "3 3" if curve.faint else _DASHES[curve.number // COLOURS % len(_DASHES)]
    kind = f"c{curve.number % COLOURS}{' faint' if curve.faint else ''}"
    name = f"<title>{escaped(curve.label)}</title>"
    return f'<polyline class="{kind}" points="{points}" stroke-dasharray="{dashes}">{name}</polyline>'


def _grid(inner: tuple[float, float, float, float], around: tuple[float, float, float, float]) -> str:
    x, y, wide, high = inner
    left, right, low, top = around
    drawn = []
    for tick in range(_TICKS + 1):
        share = tick / _TICKS
        across, up = x + wide * share, y + high * (1 - share)
        drawn.append(f'<line class="grid" x1="{x}" x2="{x + wide}" y1="{up:.1f}" y2="{up:.1f}"/>')
        drawn.append(f'<text class="ty" x="{x - 6}" y="{up + 4:.1f}">{low + (top - low) * share:,.4g}</text>')
        drawn.append(
            f'<text class="tx" x="{across:.1f}" y="{y + high + 16:.1f}">{left + (right - left) * share:,.4g}</text>'
        )
    return "".join(drawn)


def _legend(curve: Curve) -> str:
    kind = f"c{curve.number % COLOURS}{' faint' if curve.faint else ''}"
    return f'<li class="{kind}"><span class="key"></span>{escaped(curve.label)}</li>'


def _round_up(value: float) -> float:
    """To a number whose fifths are round."""
    if value <= 0 or not math.isfinite(value):
        return 1.0
    unit: float = 10.0 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 7.5, 8, 10, 15) if step * unit >= value)
