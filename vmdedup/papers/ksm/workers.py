"""Guests in place of Meta's web workers: many alike, most of whose memory changes between two scans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from vmdedup.papers.bench.base import Bench
from vmdedup.papers.bench.runs import PAGES_PER_MIB, Data, generated, scenario
from vmdedup.result.run import Result

COUNT: Final = 36
MIB: Final = 6
_SCAN_MS: Final = 2000  # what a full scan takes that skips nothing, were all memory mapped
_SLEEP_MS: Final = 20
# Of each guest's memory 55 % is a heap that is stored to all over several times in each full scan.
WORKERS: Final[Data] = {
    "memory": f"{MIB}MiB",
    "workload": "database",
    "parameters": {
        "workers": 1,
        "worker_share": 0.02,
        "heap_share": 0.55,
        "heap_limit_share": 0.55,
        "heap_growth_mib_s": 0.0,
        "hot_share": 0.55,
        "hot_mib_s": 0.0,
        "rows_s": 1600.0,
        "cache_share": 0.2,
        "read_mib_s": 1.0,
    },
    "boot": {"processes": 4, "heap_share": 0.05, "cache_share": 0.3},
    "disk": generated(16),
    "kernel_mib": 1,
}


def run(bench: Bench, seconds: int, guests: int, knobs: Mapping[str, Any]) -> Result:
    """One run of so many guests under ksmd. knobs: of [ksm], besides the schedule."""
    batch = guests * MIB * PAGES_PER_MIB * _SLEEP_MS // _SCAN_MS
    data = scenario("workers", seconds, {"name": "ksm"}, [{**WORKERS, "count": guests}], batch)
    data["host"]["tick"] = "500ms"
    data["ksm"] |= {"sleep_millisecs": _SLEEP_MS, "page_cost": "100ns", **knobs}
    return bench.run(data)
