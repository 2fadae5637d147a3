"""A sweep on a page: a figure over what varies, and the table of combinations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from vmdedup.page.charts import Curve, bar_chart, line_chart
from vmdedup.page.document import escaped
from vmdedup.page.tables import table
from vmdedup.report.sweep import SHOWN, by_point, values_of
from vmdedup.report.sweep_plot import first_numeric, sweep_lines
from vmdedup.result.sweep import failures

Row = Mapping[str, Any]
DRAWN: Final = ("saved_mib", "cpu_seconds")
MOST_LINES: Final = 500


def sweep_parts(label: str, about: Mapping[str, Any], rows: Sequence[Row]) -> Iterator[str]:
    """All of it. about: sweep.json."""
    axes = [str(axis["name"]) for axis in about["axes"]]
    yield f"<h2>Sweep {escaped(label)}</h2><p class='answer'>{escaped(_sentence(about, axes, rows))}</p>"
    for column in DRAWN:
        yield _chart(axes, rows, column)
    yield _table(axes, rows)
    if failed := failures(list(rows)):
        yield table(("run", "ended", "reason"), [(row["run"], row["ended"], row["reason"]) for row in failed], texts=3)


def _sentence(about: Mapping[str, Any], axes: Sequence[str], rows: Sequence[Row]) -> str:
    points = by_point(axes, list(rows))
    means = {point: sum(found) / len(found) for point, its in points.items() if (found := values_of(its, "saved_mib"))}
    said = f"{len(rows):,} of {about['runs']:,} runs of “{about['scenario']}”, {len(points):,} combinations"
    if not means:
        return f"{said}; none came to its end."
    best = max(means, key=lambda point: means[point])
    where = ", ".join(f"{axis}={value}" for axis, value in zip(axes, best, strict=True) if value is not None)
    return f"{said}. Most is saved with {where or 'the scenario as it is'}: {means[best]:,.1f} MiB."


def _chart(axes: Sequence[str], rows: Sequence[Row], column: str) -> str:
    heading = SHOWN[column][0]
    if not axes or not rows:
        return ""
    x = first_numeric(axes, list(rows))
    lines = sweep_lines(axes, x, list(rows), column)
    if any(isinstance(value, str) for line in lines for value in line.x):
        bars = {
            f"{line.label} {x}" if len(lines) > 1 else str(x): [y]
            for line in lines
            for x, y in zip(line.x, line.y, strict=True)
        }
        return bar_chart(f"{heading} by {x}", (heading,), bars, "")
    curves = [
        Curve(f"{line.panel} {line.label}".strip(), [float(value) for value in line.x], line.y, number)
        for number, line in enumerate(lines)
    ]
    return line_chart(f"{heading} over {x}", curves, x, heading)


def _table(axes: Sequence[str], rows: Sequence[Row]) -> str:
    shown = [name for name in SHOWN if any(row.get(name) is not None for row in rows)]
    body = []
    for point, its in list(by_point(axes, list(rows)).items())[:MOST_LINES]:
        means = [sum(found) / len(found) if (found := values_of(its, name)) else None for name in shown]
        body.append((*("–" if value is None else str(value) for value in point), len(its), *means))
    return table((*axes, "runs", *(SHOWN[name][0] for name in shown)), body, texts=len(axes))
