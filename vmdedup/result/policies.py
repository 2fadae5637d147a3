"""Several policies on one scenario: a results directory for each, and one document that lays them side by side.

    runs/mixed-20250101-120000/
    ├── policies.json    the document, as `vmdedup run --policy A,B --json` prints it
    ├── A/               what one run leaves (result.directory)
    └── B/

Guests live the same life under each policy, so rows of the parts' series with the same time are of the same moment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from vmdedup.errors import VmdedupError
from vmdedup.result.directory import json_bytes
from vmdedup.result.opening import POLICIES
from vmdedup.result.run import Result
from vmdedup.result.tables import Row, records
from vmdedup.units import mib

SCHEMA_VERSION = 1
FILE = POLICIES

# From the summary of each part as they are.
_SUMMARY = (
    *("ended", "seconds", "allocated_mib", "used_mib", "saved_mib", "saved_percent", "possible_mib"),
    *("saved_percent_of_possible", "zero_mib", "within_guest_mib", "between_guests_mib", "peak_used_mib"),
    *("seconds_to_percent_of_possible", "pages_scanned", "cow_breaks"),
)
_FORMS = (
    *("shared_saved_mib", "patched_mib", "patch_saved_mib", "compressed_mib", "compress_saved_mib"),
    *("swapped_mib", "filled_mib", "storage_mib", "reference_mib", "held_mib"),
    *("unpatched", "uncompressed", "swapped_in", "guests_cost_seconds"),
)


def side_by_side(results: Mapping[str, Result], wanted: Sequence[str], budget: str) -> dict[str, Any]:
    """The document. results: by label, each a run of one policy. wanted: all labels. budget: pages, or cpu=5%.

    Every policy has every key; what has no answer is null. Sizes are MiB, times seconds.
    """
    return {
        **common(results, wanted),
        "budget": budget,
        "policies": [_policy(label, result) for label, result in results.items()],
    }


def common(results: Mapping[str, Result], wanted: Sequence[str]) -> dict[str, Any]:
    """What all runs of one scenario have in common, and how they ended: "complete" if all did, and all are there."""
    first = next(iter(results.values()))
    complete = len(results) == len(wanted) and all(part.run["ended"] == "complete" for part in results.values())
    return {
        "schema_version": SCHEMA_VERSION,
        "scenario": first.run["name"],
        "seed": first.run["seed"],
        "clock": first.run["clock"],
        "ended": "complete" if complete else next(_endings(results), "interrupted"),
        "wanted": list(wanted),
    }


def _endings(results: Mapping[str, Result]) -> Iterator[str]:
    """How parts ended that did not get to their end."""
    return (str(part.run["ended"]) for part in results.values() if part.run["ended"] != "complete")


def _policy(label: str, result: Result) -> dict[str, Any]:
    summary, rows, size = result.summary, records(result.series), int(result.run["page_size"])
    cpu = summary["ksmd_cpu_seconds"]
    average = mean(rows, "saved_pages")
    held = mean(rows, "allocated_pages")
    saved = summary["saved_mib"]
    forms = summary["forms"] or {}
    return {
        "policy": label,
        "name": result.run["scenario"].get("policy", {}).get("name", "ksm"),
        "is_bound": summary["is_bound"],
        "controller": summary["controller"],
        **{name: summary[name] for name in _SUMMARY},
        "mean_saved_mib": round(mib(average * size), 3),
        "mean_saved_percent": round(100 * average / held, 2) if held else 0.0,
        "cpu_seconds": cpu,
        "cpu_seconds_per_saved_mib": round(cpu / saved, 6) if saved > 0 else None,
        "cpu_seconds_per_mean_saved_mib": round(cpu / mib(average * size), 6) if average > 0 else None,
        **{name: forms.get(name) for name in _FORMS},
    }


def mean(rows: Sequence[Row], column: str) -> float:
    """The mean of a column over the time of the run, linear between samples."""
    steps = pairwise(rows)
    areas = [(after["time_s"] - row["time_s"]) * (after[column] + row[column]) / 2 for row, after in steps]
    length = rows[-1]["time_s"] - rows[0]["time_s"] if rows else 0.0
    return float(sum(areas) / length) if length > 0 else 0.0


def save_document(document: Mapping[str, Any], folder: Path, file: str = FILE) -> None:
    """Write it beside the parts; it appears whole. Raises VmdedupError with the reason."""
    partial = folder / f".{file}.{os.getpid()}"
    try:
        partial.write_bytes(json_bytes(document))
        os.replace(partial, folder / file)
    except OSError as error:
        raise VmdedupError(f"{folder / file} cannot be written: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
