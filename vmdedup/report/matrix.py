"""Who shares with whom: frames that two guests both map, zeros left out.

A triangle of numbers; of guests, or groups, whose triangle would not fit, the pairs that share most.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.cells import cell_len
from rich.table import Table

from vmdedup.report.console import GAP

MOST_COLUMNS = 12  # guests shown one by one; more are taken together by group
MOST_PAIRS = 12  # shown where the triangle does not fit
_HEADING = "shares with"

Pairs = dict[tuple[str, str], float]


def matrix_table(summary: Mapping[str, Any], width: int = 80) -> Table | None:
    """The matrix in MiB, or None if nobody shares anything. width: letters that it may take."""
    labels = _labels(summary)
    pairs = _pairs(summary, labels)
    names = list(dict.fromkeys(labels.values()))
    if len(labels) != len(names):
        pairs = _averages(pairs, labels)
    if not any(pairs.values()):
        return None
    if len(names) > MOST_COLUMNS or _width(pairs, names) > width:
        return _most({pair: size for pair, size in pairs.items() if pair[0] != pair[1] or len(labels) != len(names)})
    return _triangle(pairs, names)


def _width(pairs: Pairs, names: list[str]) -> int:
    """Letters that the triangle takes."""
    widest = max(len(_size(size)) for size in pairs.values())
    cells = [max(map(cell_len, [_HEADING, *names])), *(max(cell_len(name), widest) for name in names)]
    return sum(GAP + cell for cell in cells)


def _most(pairs: Pairs) -> Table:
    """The pairs that share most, a row each."""
    table = _table()
    table.columns[0].overflow = "ellipsis"
    table.add_column("with", overflow="ellipsis", no_wrap=True, style="cyan")
    table.add_column("MiB", justify="right", no_wrap=True)
    for (one, two), size in sorted(pairs.items(), key=lambda pair: -pair[1])[:MOST_PAIRS]:
        table.add_row(one, two, _size(size))
    if len(pairs) > MOST_PAIRS:
        table.add_row("…", f"{len(pairs) - MOST_PAIRS:,} pairs share less", "")
    return table


def caption(summary: Mapping[str, Any]) -> str:
    """What the numbers of the matrix are."""
    labels = _labels(summary)
    each = "; by group, the average of all pairs of guests" if len(set(labels.values())) < len(labels) else ""
    return f"MiB that both map, zeros left out{each}"


def _labels(summary: Mapping[str, Any]) -> dict[str, str]:
    """The row in which each guest is shown: its own, or its group's."""
    guests = summary["guests"]
    if len(guests) <= MOST_COLUMNS or len({guest["group"] for guest in guests}) == len(guests):
        return {guest["name"]: guest["name"] for guest in guests}
    return {guest["name"]: guest["group"] for guest in guests}


def _pairs(summary: Mapping[str, Any], labels: Mapping[str, str]) -> Pairs:
    """MiB by pair of labels; the order of a pair is that of the guests."""
    sums: Pairs = {}
    for pair in summary["matrix"]:
        one, two = pair["guests"]
        if one == two and labels[one] != one:
            continue
        key = (labels[one], labels[two])
        sums[key] = sums.get(key, 0.0) + pair["shared_mib"]
    return sums


def _averages(pairs: Pairs, labels: Mapping[str, str]) -> Pairs:
    """Sums by pair of groups, divided by the number of pairs of guests."""
    sizes: dict[str, int] = {}
    for label in labels.values():
        sizes[label] = sizes.get(label, 0) + 1
    averages: Pairs = {}
    for (one, two), size in pairs.items():
        count = sizes[one] * (sizes[one] - 1) // 2 if one == two else sizes[one] * sizes[two]
        averages[one, two] = size / max(1, count)
    return averages


def _triangle(pairs: Pairs, names: list[str]) -> Table:
    table = _table()
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for row, one in enumerate(names):
        cells = (pairs.get((two, one), pairs.get((one, two), 0.0)) for two in names[: row + 1])
        table.add_row(one, *map(_size, cells))
    return table


def _table() -> Table:
    """With its first column: the names of rows."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="cyan")
    table.add_column(_HEADING, no_wrap=True, style="cyan")
    return table


def _size(size: float) -> str:
    return f"{size:,.1f}"
