"""Figures made by hand, for the tests of the comparison."""

from __future__ import annotations

from typing import Any

from vmdedup.report.compare.figures import Figures
from vmdedup.result import columns
from vmdedup.result.run import Result
from vmdedup.result.tables import table

KNOBS = {"pages_to_scan": 100, "sleep_millisecs": 20, "use_zero_pages": 0, "run": 1}
ZEROS = (
    *("pages_unshared", "pages_volatile", "ksm_zero_pages", "stable_node_chains", "stable_node_dups"),
    *("general_profit", "pages_skipped", "cow_breaks", "within_guest_pages", "between_guests_pages", "zero_pages"),
)


def row(time: float, saved: int, **changes: Any) -> dict[str, Any]:
    """A row of a series in which a quarter of the guests' 4,000 pages can be saved."""
    scans = int(time)
    counters = {"pages_shared": saved // 2, "pages_sharing": saved, "full_scans": scans, "pages_scanned": 4000 * scans}
    sizes = {"allocated_pages": 4000, "used_pages": 4000 - saved, "saved_pages": saved, "possible_pages": 1000}
    known = {"time_s": time, "guests": 2, "ksmd_cpu_s": time / 10} | sizes | counters | KNOBS
    return dict.fromkeys(ZEROS, 0) | known | changes


SERIES = [row(0.0, 0), row(1.0, 500), row(2.0, 900), row(3.0, 1000), row(4.0, 1000)]


def guest(name: str, **changes: Any) -> dict[str, Any]:
    """A row of the table of guests."""
    return dict.fromkeys(columns.GUESTS, 0) | {
        "guest": name,
        "group": "vm",
        "state": "running",
        "memory_pages": 4096,
        "ksm_rmap_items": 2000,
        **changes,
    }


def run_document(**changes: Any) -> dict[str, Any]:
    """A run.json."""
    scenario = {
        "name": "small",
        "seed": 1,
        "duration": "4s",
        "ksm": {"run": "1", "pages_to_scan": "100"},
        "guests": [{"name": "vm", "count": 2, "memory": 16777216}],
    }
    return {
        "name": "small",
        "seed": 1,
        "clock": "lockstep",
        "page_size": 4096,
        "ended": "complete",
        "events": [],
        "scenario": scenario,
        "versions": {"vmdedup": "0.1.0"},
        "machine": {"kernel": "6.18.0"},
    } | changes


def result(rows: list[dict[str, Any]] | None = None, guests: list[dict[str, Any]] | None = None, **run: Any) -> Result:
    """A run's results. run: changes to its run.json."""
    rows = SERIES if rows is None else rows
    guests = [guest("vm-0"), guest("vm-1")] if guests is None else guests
    timing = table([], columns.TIMING)
    return Result(run_document(**run), table(rows, columns.SERIES), table(guests), table([], columns.MATRIX), timing)


def figures(label: str = "first", **changes: Any) -> Figures:
    """Figures of a run with the series above. changes: fields of Figures; levels are the last row's if not told."""
    rows = changes.get("rows", SERIES)
    levels = {name: value for name, value in rows[-1].items() if value is not None} if rows else {}
    fields = {
        "backend": "emulator",
        "rows": rows,
        "guests": [guest("vm-0"), guest("vm-1")],
        "levels": levels,
        "run": run_document(),
    }
    return Figures(label=label, **(fields | changes))


def ending(label: str = "other", **last: Any) -> Figures:
    """Figures whose last row is changed."""
    return figures(label, rows=[*SERIES[:-1], SERIES[-1] | last])
