"""Charts of runs: what pages and notebooks show, from the results alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from vmdedup.page.charts import Curve, bar_chart, line_chart, matrix_chart
from vmdedup.result.tables import records
from vmdedup.units import PAGE_SIZE, mib

if TYPE_CHECKING:
    from vmdedup.result.run import Result

PARTS = ("zero pages", "inside one guest", "between guests")


def savings(results: Mapping[str, Result]) -> str:
    """Saved over time, and, where it was counted, what was possible."""
    curves = []
    for number, (label, result) in enumerate(results.items()):
        curves.append(_curve(result, "saved_pages", label, number))
        curves.append(_curve(result, "possible_pages", f"{label}, possible", number, faint=True))
    return line_chart("Savings over time", curves, "time, s", "saved, MiB")


def memory(results: Mapping[str, Result]) -> str:
    """What guests held, and what the host used for it."""
    curves = []
    for number, (label, result) in enumerate(results.items()):
        curves.append(_curve(result, "used_pages", f"{label}, used", number))
        curves.append(_curve(result, "allocated_pages", f"{label}, held by guests", number, faint=True))
    return line_chart("Memory over time", curves, "time, s", "MiB")


def huge_pages(results: Mapping[str, Result]) -> str:
    """Huge pages that are left, where there were any."""
    curves = [
        _curve(result, "huge_pages", label, number, lambda pages: pages)
        for number, (label, result) in enumerate(results.items())
    ]
    return line_chart("Huge pages left", [curve for curve in curves if any(curve.y)], "time, s", "huge pages")


def cpu(results: Mapping[str, Result]) -> str:
    """CPU time of who scanned."""
    curves = [
        _curve(result, "ksmd_cpu_s", label, number, lambda seconds: seconds)
        for number, (label, result) in enumerate(results.items())
    ]
    return line_chart("CPU time of the scanner", curves, "time, s", "CPU, s")


def sources(results: Mapping[str, Result]) -> str:
    """Where what is saved at the end comes from."""
    names = ("zero_mib", "within_guest_mib", "between_guests_mib")
    rows = {label: [float(result.summary[name]) for name in names] for label, result in results.items()}
    return bar_chart("Where savings come from, at the end", PARTS, rows, "MiB")


def matrix(label: str, result: Result) -> str:
    """Which guests map how much in common, zeros left out."""
    pairs = {(pair["guests"][0], pair["guests"][1]): float(pair["shared_mib"]) for pair in result.summary["matrix"]}
    names = [str(guest["name"]) for guest in result.summary["guests"]]
    return matrix_chart(f"Who shares with whom: {label}", names, pairs, "MiB")


def _curve(
    result: Result,
    column: str,
    label: str,
    number: int,
    of: Callable[[float], float] | None = None,
    faint: bool = False,
) -> Curve:
    """A column of the series over time, as far as it is known; pages as MiB, unless `of` says otherwise."""
    size = int(result.run.get("page_size", PAGE_SIZE))
    form = of or (lambda pages: mib(pages * size))
    rows = [row for row in records(result.series) if row.get(column) is not None]
    return Curve(label, [float(row["time_s"]) for row in rows], [form(row[column]) for row in rows], number, faint)
