"""What a sweep leaves: a row a run, in one Parquet, whatever it was made by and in whatever order.

    runs/mixed-sweep-20250101-120000/
    ├── sweep.json       what was run: scenario, axes, seeds
    ├── rows.jsonl       rows in the order in which they came: what a sweep that was stopped goes on from
    └── sweep.parquet    the rows in the order of the grid

A row has the run's number, a column an axis, seed, ended, reason, and FIGURES; what has no answer is null.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from vmdedup.result.policies import mean
from vmdedup.result.run import Result
from vmdedup.result.tables import Row, Table, records, typed_table
from vmdedup.units import mib

# By column: its type, and what it means. The names are those of the documents that single runs leave.
FIGURES: Final[Mapping[str, tuple[type, str]]] = {
    "seconds": (float, "of the clock, until the run ended; figures are of that moment unless they say otherwise"),
    "guests_alive": (int, "guests alive at the end"),
    "allocated_mib": (float, "guest pages with content of their own"),
    "used_mib": (float, "host memory that these take"),
    "saved_mib": (float, "allocated - used"),
    "saved_percent": (float, "saved, of allocated"),
    "mean_saved_mib": (float, "saved, on average over the run"),
    "possible_mib": (float, "what saved would be if every content were kept once"),
    "saved_percent_of_possible": (float, "saved, of possible"),
    "zero_mib": (float, "of saved: zeros"),
    "within_guest_mib": (float, "of saved: inside one guest"),
    "between_guests_mib": (float, "of saved: between guests"),
    "peak_saved_mib": (float, "the most that was saved"),
    "peak_used_mib": (float, "the most host memory that was used"),
    "seconds_to_50_percent": (float, "until so much of what was possible was saved"),
    "seconds_to_90_percent": (float, "the same"),
    "seconds_to_99_percent": (float, "the same"),
    "pages_scanned": (int, "pages looked at"),
    "cpu_seconds": (float, "CPU time of who scans: modelled, or measured (wall)"),
    "cpu_seconds_per_saved_mib": (float, "for each MiB that is saved at the end"),
    "cow_breaks": (int, "writes that found a merged page and got a copy"),
    "copying_seconds": (float, "what these cost guests"),
    "metadata_mib": (float, "memory for the bookkeeping"),
    "general_profit": (int, "bytes, as KSM reckons it"),
    "guests_cost_seconds": (float, "of policies with other forms than whole pages: what these cost guests"),
    "swap_used_mib": (float, "of hosts that say memory or swap, as all that follow: in swap"),
    "swap_stored_mib": (float, "that this takes there"),
    "waiting_percent": (float, "of guests' time, lost to waiting for memory"),
    "memory_some_percent": (float, "of the run's time, with some guest waiting"),
    "memory_full_percent": (float, "of the run's time, with all guests waiting"),
    "oom_kills": (int, "guests killed because no memory was left"),
}
FIXED: Final = {"ended": str, "reason": str}
COMPLETE: Final = "complete"
_PRESSURE = ("swap_used_mib", "swap_stored_mib", "waiting_percent", "memory_some_percent", "memory_full_percent")


def figures_of(result: Result) -> dict[str, Any]:
    """ended, reason (null if it is complete) and FIGURES of one run."""
    summary = result.summary
    rows, size = records(result.series), int(result.run["page_size"])
    reached = summary["seconds_to_percent_of_possible"]
    found = {
        **summary,
        **{name: (summary["pressure"] or {}).get(name) for name in (*_PRESSURE, "oom_kills")},
        **{f"seconds_to_{percent}_percent": seconds for percent, seconds in reached.items()},
        "guests_alive": int(rows[-1]["guests"]),
        "mean_saved_mib": round(mib(mean(rows, "saved_pages") * size), 3),
        "cpu_seconds": summary["ksmd_cpu_seconds"],
        "cpu_seconds_per_saved_mib": summary["ksmd_cpu_seconds_per_saved_mib"],
        "copying_seconds": summary["worst"]["copying_seconds"],
        "guests_cost_seconds": (summary["forms"] or {}).get("guests_cost_seconds"),
    }
    ended = str(result.run["ended"])
    said = [event["text"] for event in result.run["events"]]
    reason = None if ended == COMPLETE else (said[-1] if said else ended)
    return {"ended": ended, "reason": reason, **{name: found[name] for name in FIGURES}}


def row_of(cells: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """A whole row. cells: run, axes and seed. found: ended, reason, and what figures there are."""
    figures = {name: _typed(found.get(name), kind) for name, (kind, _) in FIGURES.items()}
    return {**cells, "ended": found["ended"], "reason": found["reason"], **figures}


def _typed(value: Any, kind: type) -> Any:
    return None if value is None else kind(value)


def frame_of(rows: Iterable[Row], kinds: Mapping[str, type]) -> Table:
    """The table of rows, in the order of their numbers. kinds: of the axes' columns, by name."""
    return typed_table(sorted(rows, key=lambda row: int(row["run"])), columns(kinds))


def columns(kinds: Mapping[str, type]) -> dict[str, type]:
    """All columns of a row, and their types. kinds: of the axes'."""
    figures = {name: kind for name, (kind, _) in FIGURES.items()}
    return {"run": int, **kinds, "seed": int, **FIXED, **figures}


def failures(rows: Sequence[Row]) -> list[Row]:
    """Rows of runs that did not get to their end."""
    return [row for row in rows if row["ended"] != COMPLETE]
