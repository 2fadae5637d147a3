"""Scenarios for experiments as data, and what is read off their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vmdedup.papers.bench.guests import of_the_time
from vmdedup.result.run import Result
from vmdedup.result.tables import records

Data = dict[str, Any]
PAGES_PER_MIB = 256


def scenario(name: str, seconds: int, policy: Mapping[str, Any], groups: Sequence[Data], pages: int = 200) -> Data:
    """A scenario whose scanner looks at so many pages every 20 ms, unless the policy's section says otherwise."""
    return {
        "name": name,
        "duration": f"{seconds}s",
        "seed": 1,
        "host": {"huge_pages": "never"},  # the papers know of none, or leave them out
        # A page takes the same time whatever becomes of it: all policies look at equally many a second, on every host.
        "ksm": {
            "run": 1,
            "pages_to_scan": pages,
            "sleep_millisecs": 20,
            "page_cost": "10us",
            "prices": "built-in",
        },
        "policy": dict(policy),
        "guests": [of_the_time(group) for group in groups],
    }


def generated(mib: int, seed: int = 0) -> Data:
    """A generated disk, the same on every machine."""
    return {"kind": "generated", "mib": mib, "seed": seed}


def column(result: Result, name: str) -> list[float]:
    """A column of the series."""
    return [float(row[name]) for row in records(result.series)]


def last(result: Result, name: str) -> float:
    """A column's value at the end."""
    return column(result, name)[-1]


def percent_of(result: Result, name: str, pages: int) -> float:
    """A column's value at the end, per cent of so many pages."""
    return 100 * last(result, name) / pages


def mib(pages: Sequence[float]) -> list[float]:
    """Pages as MiB."""
    return [value / PAGES_PER_MIB for value in pages]
