"""Answers about a host that has less memory than its guests want, from the columns of PRESSURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from vmdedup.result.tables import Row
from vmdedup.units import mib


def pressure(run: Mapping[str, Any], rows: Sequence[Row], size: int) -> dict[str, Any]:
    """What was in swap at the end, how long guests waited, who was killed. size: bytes of a page.

    waiting_percent: of the time of all guests; memory_some_percent, memory_full_percent: of the run's.
    """
    last = rows[-1]
    lived = sum((after["time_s"] - row["time_s"]) * after["guests"] for row, after in pairwise(rows))
    return {
        "mem_available_mib": _mib(last["mem_available_pages"], size),
        "least_available_mib": _mib(min(row["mem_available_pages"] for row in rows), size),
        "swap_used_mib": _mib(last["swap_used_pages"], size),
        "swap_stored_mib": _mib(last["swap_stored_bytes"], 1),
        "swap_mib": _mib(last["swap_frames"], size),
        "pswpin": int(last["pswpin"]),
        "pswpout": int(last["pswpout"]),
        "waited_seconds": float(last["waited_s"]),
        "waiting_percent": round(100 * last["waited_s"] / lived, 4) if lived > 0 else 0.0,
        "memory_some_percent": _mean_percent(rows, "memory_some"),
        "memory_full_percent": _mean_percent(rows, "memory_full"),
        "oom_kills": int(last["oom_kills"]),
        "killed": [_kill(each, size) for each in run.get("killed", [])],
    }


def _kill(kill: Mapping[str, Any], size: int) -> dict[str, Any]:
    sizes = {f"{part}_mib": _mib(kill[f"{part}_pages"], size) for part in ("resident", "swapped", "table")}
    return {"name": kill["guest"], "seconds": float(kill["time_s"]), **sizes}


def _mean_percent(rows: Sequence[Row], column: str) -> float:
    """Of a share that each row has of the time since the row before."""
    length = rows[-1]["time_s"] - rows[0]["time_s"]
    time = sum((after["time_s"] - row["time_s"]) * after[column] for row, after in pairwise(rows))
    return round(100 * time / length, 4) if length > 0 else 0.0


def _mib(count: float, size: int) -> float:
    return round(mib(float(count) * size), 3)
