"""The table after a sweep: a line a combination, the mean of its seeds with half of their spread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.text import Text

from vmdedup.report.console import GAP, print_parts
from vmdedup.report.fitted import fitted
from vmdedup.result.sweep import COMPLETE, failures

Row = Mapping[str, Any]
SHOWN: Final = {
    "saved_mib": ("saved MiB", ",.1f"),
    "saved_percent": ("saved %", ".1f"),
    "saved_percent_of_possible": ("of possible %", ".1f"),
    "mean_saved_mib": ("mean saved MiB", ",.1f"),
    "seconds_to_90_percent": ("90 % after s", ",.1f"),
    "pages_scanned": ("pages scanned", ",.0f"),
    "cpu_seconds": ("CPU s", ",.2f"),
    "cpu_seconds_per_saved_mib": ("CPU s a MiB", ".4f"),
    "cow_breaks": ("copies", ",.0f"),
    "waiting_percent": ("waiting %", ".2f"),
    "oom_kills": ("killed", ",.1f"),
}
MOST_LINES: Final = 100
MOST_FAILURES: Final = 10


def render(document: Mapping[str, Any], rows: Sequence[Row], console: Console) -> None:
    """Print the table to the console. document: sweep.json."""
    print_parts(console, parts(document, rows, console.width))


def parts(document: Mapping[str, Any], rows: Sequence[Row], width: int) -> Iterator[RenderableType]:
    """What is printed, part by part; width: of the console, in letters."""
    axes = [axis["name"] for axis in document["axes"]]
    failed = failures(rows)
    said = f", {len(failed)} failed" if failed else ""
    yield Text(f"{document['scenario']}: {len(rows):,} of {document['runs']:,} runs{said}", style="bold")
    yield ""
    points = list(by_point(axes, rows).items())
    names = _aligned([axes, *(["-" if value is None else str(value) for value in point] for point, _ in points)])
    shown = [name for name in SHOWN if any(row[name] is not None for row in rows)]
    cells = [(SHOWN[name][0], [_cell(its, name) for _, its in points[:MOST_LINES]]) for name in shown]
    if points:
        yield from fitted(names[0] or "run", [name or "all" for name in names[1 : MOST_LINES + 1]], cells, width)
    if len(points) > MOST_LINES:
        yield Text(f"and {len(points) - MOST_LINES:,} more: all are in the table that is kept", style="dim")
    if len(document["seeds"]) > 1:
        yield Text(f"means of {len(document['seeds'])} seeds, ± half of their spread", style="dim")
    for row in failed[:MOST_FAILURES]:
        yield Text(f"run {row['run']}{_where(axes, row)}: {row['ended']}: {row['reason']}")
    if len(failed) > MOST_FAILURES:
        yield Text(f"and {len(failed) - MOST_FAILURES:,} more that failed", style="dim")


def by_point(axes: Sequence[str], rows: Sequence[Row]) -> dict[tuple[Any, ...], list[Row]]:
    """The rows of each combination of the axes' values, in the order of the rows' numbers."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in sorted(rows, key=lambda row: int(row["run"])):
        found.setdefault(tuple(row[axis] for axis in axes), []).append(row)
    return found


def values_of(rows: Sequence[Row], name: str) -> list[float]:
    """A figure of those runs that got to their end and have it."""
    return [float(row[name]) for row in rows if row["ended"] == COMPLETE and row[name] is not None]


def _cell(rows: Sequence[Row], name: str) -> str:
    found, form = values_of(rows, name), SHOWN[name][1]
    if not found:
        return "-"
    spread = f" ±{(max(found) - min(found)) / 2:{form}}" if len(found) > 1 else ""
    return f"{sum(found) / len(found):{form}}{spread}"


def _where(axes: Sequence[str], row: Row) -> str:
    said = [*(f"{axis}={row[axis]}" for axis in axes if row[axis] is not None), f"seed {row['seed']}"]
    return f" ({', '.join(said)})"


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Lines of words, with what stands below each other aligned."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [(" " * GAP).join(word.ljust(width) for word, width in zip(line, widths, strict=True)) for line in lines]
