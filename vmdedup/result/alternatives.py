"""Alternatives of one scenario: a results directory for each, and one document that lays them side by side.

    runs/mixed-20250101-120000/
    ├── alternatives.json    the document, as `vmdedup run --vary "A; B" --json` prints it
    ├── A/                   what one run leaves (result.directory)
    └── B/

Guests live the same life under each, but for what they wait.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from vmdedup.result.policies import common
from vmdedup.result.run import Result

FILE: Final = "alternatives.json"
_SHARING = ("zero", "within_guest", "between_guests")
_SUMMARY = ("ended", "seconds", "allocated_mib", "used_mib", "peak_used_mib", "possible_mib", "pages_scanned")
_PRESSURE = (
    *("least_available_mib", "swap_used_mib", "swap_stored_mib", "swap_mib", "pswpin", "pswpout", "waited_seconds"),
    *("waiting_percent", "memory_some_percent", "memory_full_percent", "oom_kills", "killed"),
)


def lay_side_by_side(results: Mapping[str, Result], wanted: Sequence[str]) -> dict[str, Any]:
    """The document. results: by the alternative's name. wanted: all of them. Sizes are MiB, times seconds.

    Every alternative has every key; what has no answer is null: of hosts that say neither memory nor swap.
    """
    return {**common(results, wanted), "alternatives": [_alternative(*each) for each in results.items()]}


def _alternative(name: str, result: Result) -> dict[str, Any]:
    summary = result.summary
    found = summary["pressure"] or {}
    return {
        "alternative": name,
        **{key: summary[key] for key in _SUMMARY},
        "shared_saved_mib": round(sum(summary[f"{part}_mib"] for part in _SHARING), 3),
        "host_mib": summary["worst"]["host_mib"],
        "cpu_seconds": summary["ksmd_cpu_seconds"],
        "guests": sum(guest["state"] not in ("left", "dead") for guest in summary["guests"]),
        **{key: found.get(key) for key in _PRESSURE},
    }
