"""Who shares with whom: frames that two guests both map, zeros left out, as a triangle of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

MOST_COLUMNS = 12  # guests shown one by one; more are taken together by group

Pairs = dict[tuple[str, str], float]


def matrix_table(summary: Mapping[str, Any]) -> Table | None:
    """The matrix in MiB, or None if nobody shares anything."""
    labels = _labels(summary)
    pairs = _pairs(summary, labels)
    names = list(dict.fromkeys(labels.values()))
    if len(labels) != len(names):
        pairs = _averages(pairs, labels)
    return _triangle(pairs, names) if any(pairs.values()) else None


def caption(summary: Mapping[str, Any]) -> str:
    """What the numbers of the matrix are."""
    each = "" if len(summary["guests"]) <= MOST_COLUMNS else "; by group, the average of all pairs of guests"
    return f"MiB that both map, zeros left out{each}"


def _labels(summary: Mapping[str, Any]) -> dict[str, str]:
    """The row in which each guest is shown: its own, or its group's."""
    key = "name" if len(summary["guests"]) <= MOST_COLUMNS else "group"
    return {guest["name"]: guest[key] for guest in summary["guests"]}


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
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="cyan")
    table.add_column("shares with", no_wrap=True, style="cyan")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for row, one in enumerate(names):
        cells = (pairs.get((two, one), pairs.get((one, two), 0.0)) for two in names[: row + 1])
        table.add_row(one, *(f"{cell:,.1f}" for cell in cells))
    return table
