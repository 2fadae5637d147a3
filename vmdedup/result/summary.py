"""The answers of a run, computed from its tables alone: how much, for whom, how soon, at what cost.

allocated   guest pages with content of their own: present pages, those that KSM turned into the zero
            page included; pages never touched or only read cost the host nothing and are not counted.
used        host frames that these pages take; saved = allocated - used.
            A frame mapped n times by g guests saves n - 1: n - g within guests, g - 1 between guests.
            All-zero content is counted apart: KSM's zero pages save 1 each, a frame of zeros n - 1.
possible    allocated - distinct contents; all-zero content counts as one frame, or as none with
            use_zero_pages (possible_zero_frames says which).
split zeros pages of zeros that were freed when ksmd split the huge pages of real guests. The kernel counts them
            nowhere; they are neither in saved nor in possible. freed = saved + split zeros.
reached     seconds from the run's beginning until saved was so many per cent of what was possible at that moment.
            Counted only from when there was something to reach: from the first row on whose possible is at least
            half of the most that any row has (possible_from_seconds); before that, all of next to nothing is soon had.
worst       when the host used most memory, between two rows too: the host's own mark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vmdedup.late import load
from vmdedup.result.columns import HUGE, POLICY, PRESSURE, REAL
from vmdedup.result.tables import Row, Table, records
from vmdedup.units import mib

SCHEMA_VERSION = 1
RMAP_ITEM_BYTES = 64
STABLE_NODE_BYTES = 64
MILESTONES = (50, 90, 99)
WORTH_REACHING = 0.5  # share of the most that was ever possible

_PARTS = ("allocated", "used", "saved", "zero", "within_guest", "between_guests")
_SHARING = ("zero", "within_guest", "between_guests")
_FORMS = (
    *("patched_pages", "compressed_pages", "swapped_pages", "filled_pages", "patch_saved_pages"),
    *("compress_saved_pages", "storage_frames", "reference_frames", "held_frames"),
)
_KSM_STAT = ("ksm_rmap_items", "ksm_merging_pages", "ksm_zero_pages", "ksm_process_profit")


def summarise(run: Mapping[str, Any], series: Table, guests: Table, matrix: Table) -> dict[str, Any]:
    """The summary document of a run; run is its run.json, the tables are as result.columns declares them.

    Sizes are MiB, times seconds, profit bytes. Every key is always there; what has no answer is null.
    """
    rows = records(series)
    last = rows[-1] if rows else {}
    size = int(run["page_size"])
    worst = worst_moment(run, rows, size)
    return {
        **_identity(run, last),
        **_sizes(last, size),
        "host": _host(run),
        **_freed(last, records(guests), size),
        **_peaks(rows, size),
        "peak_used_mib": worst["used_mib"],
        "worst": worst,
        **_costs(last, size),
        "ksmd_cpu_prices": (run.get("prices") or {}).get("source"),
        "forms": _forms(last, size),
        "controller": _controller(last),
        "pressure": load("vmdedup.result.pressure:pressure")(run, rows, size) if "oom_kills" in last else None,
        "possible_from_seconds": possible_from(rows),
        "seconds_to_percent_of_possible": {str(p): time_to(rows, p) for p in MILESTONES},
        "counters": _counters(last),
        "guests": [_guest(row, size) for row in records(guests)],
        "matrix": [_pair(row, size) for row in records(matrix)],
        "events": list(run["events"]),
        "expectations": _expectations(run, rows, size),
        "moments": load("vmdedup.result.moments:moments")(run, rows, size) if run["events"] else [],
    }


def _expectations(run: Mapping[str, Any], rows: Sequence[Row], size: int) -> list[dict[str, Any]]:
    """What became of what the scenario expects; most expect nothing."""
    if not run.get("scenario", {}).get("expect"):
        return []
    found: list[dict[str, Any]] = load("vmdedup.result.expected:expectations")(run, rows, size)
    return found


def worst_moment(run: Mapping[str, Any], rows: Sequence[Row], size: int) -> dict[str, Any]:
    """When the host used most: seconds, used_mib, host_mib (null: not known), full, copies, copying_seconds.

    copies: merged pages that guests have written to so far, each copied (null: not counted); copying_seconds: what
    that cost them at the price in run.json (null without one).
    """
    seconds, used = max(((row["time_s"], row["used_pages"]) for row in rows), key=lambda at: at[1], default=(0.0, 0))
    mark = run.get("worst") or {}
    if mark and mark["used_pages"] >= used:
        seconds, used = mark["time_s"], mark["used_pages"]
    copies = rows[-1].get("cow_breaks") if rows else 0
    price = run.get("copy_ns")
    return {
        "seconds": float(seconds),
        "used_mib": round(mib(used * size), 3),
        "host_mib": round(mib(mark["host_pages"] * size), 3) if mark else None,
        "full": bool(mark.get("full", False)),
        "copies": copies,
        "copying_seconds": None if copies is None or price is None else round(copies * price / 1e9, 3),
    }


def time_to(rows: Sequence[Row], percent: int) -> float | None:
    """Seconds until saved was at least so many per cent of what was possible at that moment, or None.

    Counted from possible_from on, as the top of this file says.
    """
    begin = possible_from(rows)
    for row in rows:
        saved, possible = int(row["saved_pages"]), int(row["possible_pages"])
        if begin is not None and row["time_s"] >= begin and possible > 0 and saved * 100 >= possible * percent:
            return float(row["time_s"])
    return None


def possible_from(rows: Sequence[Row]) -> float | None:
    """Seconds until there was something to reach: half of the most that was ever possible. None: never anything."""
    most = max((int(row["possible_pages"]) for row in rows), default=0)
    if most <= 0:
        return None
    return next(float(row["time_s"]) for row in rows if int(row["possible_pages"]) >= most * WORTH_REACHING)


def _identity(run: Mapping[str, Any], last: Row) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "scenario": run["name"],
        "backend": run.get("backend", "emulator"),
        "policy": run.get("policy", "ksm"),
        "is_bound": bool(run.get("is_bound", False)),
        "seed": run["seed"],
        "clock": run["clock"],
        "ended": run["ended"],
        "seconds": float(last.get("time_s", 0.0)),
    }


def _sizes(last: Row, size: int) -> dict[str, Any]:
    sizes = {f"{part}_mib": _mib(last, f"{part}_pages", size) for part in (*_PARTS, "possible")}
    possible = int(last.get("possible_pages", 0))
    return sizes | {
        "saved_percent": _percent(last, "allocated_pages"),
        "saved_percent_of_possible": _percent(last, "possible_pages") if possible > 0 else None,
        "possible_zero_frames": 0 if last.get("use_zero_pages", 0) else 1,
    }


def _freed(last: Row, guests: Sequence[Row], size: int) -> dict[str, float | None]:
    """What splits of huge pages freed besides what is saved, and both together; null where guests are emulated."""
    pages = last.get("split_zero_pages")
    if pages is None and guests and "split_zero_pages" in guests[0]:  # a run of before the series had it
        pages = sum(int(guest["split_zero_pages"]) for guest in guests)
    if pages is None:
        return {"split_zero_mib": None, "freed_mib": None}
    split = round(mib(float(pages) * size), 3)
    return {"split_zero_mib": split, "freed_mib": round(split + _mib(last, "saved_pages", size), 3)}


def _peaks(rows: Sequence[Row], size: int) -> dict[str, Any]:
    return {
        f"peak_{part}_mib": max((_mib(row, f"{part}_pages", size) for row in rows), default=0.0)
        for part in ("allocated", "saved")
    }


def _costs(last: Row, size: int) -> dict[str, Any]:
    scanned, cpu = int(last.get("pages_scanned", 0)), float(last.get("ksmd_cpu_s", 0.0))
    saved = _mib(last, "saved_pages", size)
    return {
        "pages_scanned": scanned,
        "ksmd_cpu_seconds": cpu,
        "pages_scanned_per_saved_mib": round(scanned / saved, 3) if saved > 0 else None,
        "ksmd_cpu_seconds_per_saved_mib": round(cpu / saved, 6) if saved > 0 else None,
        "cow_breaks": last.get("cow_breaks", 0),
        "metadata_mib": round(mib(_metadata_bytes(last)), 3),
        "general_profit": int(last.get("general_profit", 0)),
    }


def _metadata_bytes(last: Row) -> int:
    """What the kernel would spend on the bookkeeping. Source: sizeof in mm/ksm.c on x86-64 (6.18).

    Policies that are not KSM say it themselves, or nobody does.
    """
    if "pages_unshared" not in last:
        return int(last.get("metadata_bytes", 0))
    shared, chains = int(last.get("pages_shared", 0)), int(last.get("stable_node_chains", 0))
    items = shared + sum(int(last.get(f"pages_{kind}", 0)) for kind in ("sharing", "unshared", "volatile"))
    return items * RMAP_ITEM_BYTES + (shared + chains) * STABLE_NODE_BYTES


def _forms(last: Row, size: int) -> dict[str, Any] | None:
    """What a policy kept in other forms than whole pages, and what that cost guests; null in runs without one."""
    if "storage_frames" not in last:
        return None
    return {f"{name.rpartition('_')[0]}_mib": _mib(last, name, size) for name in _FORMS} | {
        "shared_saved_mib": round(sum(_mib(last, f"{part}_pages", size) for part in _SHARING), 3),
        "unpatched": int(last["unpatched"]),
        "uncompressed": int(last["uncompressed"]),
        "swapped_in": int(last["swapped_in"]),
        "guests_cost_seconds": float(last["guests_cost_s"]),
    }


def _host(run: Mapping[str, Any]) -> dict[str, Any] | None:
    """What an emulated host got, and why it is not more; null where nobody noted it.

    What this machine had is null unless it decided: otherwise the same run would not answer the same everywhere.
    """
    host = run.get("host")
    if not host:
        return None
    sizes = {f"{name}_mib": round(mib(int(host[f"{name}_bytes"])), 3) for name in ("host", "guests", "available")}
    capped = bool(host["capped"])
    return {
        "memory_mib": sizes["host_mib"],
        "guests_mib": sizes["guests_mib"],
        "available_mib": sizes["available_mib"] if capped else None,
        "capped": capped,
    }


def _controller(last: Row) -> dict[str, int] | None:
    """How often the daemon that steers ksmd looked at the host, and wrote; null where there is none."""
    return {name: int(last[name]) for name in ("looks", "adjustments")} if "looks" in last else None


def _counters(last: Row) -> dict[str, Any]:
    ours = {"time_s", "guests", "cow_breaks", "ksmd_cpu_s", "possible_pages", *(f"{p}_pages" for p in _PARTS)}
    ours |= {*POLICY, *REAL, *HUGE, *PRESSURE}
    return {name: value for name, value in last.items() if name not in ours}


def _guest(row: Row, size: int) -> dict[str, Any]:
    sizes = {f"{part}_mib": _mib(row, f"{part}_pages", size) for part in ("memory", *_PARTS)}
    named = {"name": row["guest"], "group": row["group"], "state": row["state"]}
    stat = {name: None if row[name] is None else int(row[name]) for name in _KSM_STAT}
    return named | sizes | stat | {"saved_percent": _percent(row, "allocated_pages")}


def _pair(row: Row, size: int) -> dict[str, Any]:
    return {
        "guests": [row["guest_a"], row["guest_b"]],
        "shared_mib": _mib(row, "shared_frames", size),
        "zero_mib": _mib(row, "zero_frames", size),
    }


def _mib(row: Row, column: str, size: int) -> float:
    return round(mib(float(row.get(column, 0)) * size), 3)


def _percent(row: Row, whole: str) -> float:
    pages = float(row.get(whole, 0))
    return round(100.0 * float(row["saved_pages"]) / pages, 2) if pages > 0 else 0.0
