"""What emulated hosts delivered, put beside what their plan promised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vmdedup.result.sweep import COMPLETE


def add_delivered(plan: dict[str, Any], hosts: Sequence[Mapping[str, Any]], scale: int, host_mib: float) -> None:
    """Into the document of a plan (place.answer), for each host and for all. hosts: ended, reason, figures.

    delivered_mib: saved at the end, at full size. over_mib: by how much hosts took more than they have, at their peak.
    """
    for host, found in zip(plan["hosts"], hosts, strict=True):
        is_whole = found["ended"] == COMPLETE
        host["reason"] = found["reason"]
        host["delivered_mib"] = round(found["saved_mib"] * scale, 3) if is_whole else None
        host["peak_mib"] = round(found["peak_used_mib"] * scale, 3) if is_whole else None
        host["seconds_to_90_percent"] = found.get("seconds_to_90_percent")
        host["ksmd_cpu_seconds"] = round(found["cpu_seconds"] * scale, 3) if is_whole else None
    whole = [host for host in plan["hosts"] if host["delivered_mib"] is not None]
    if not whole:
        return
    plan["delivered_mib"] = round(sum(host["delivered_mib"] for host in whole), 3)
    promised = sum(host["promised_mib"] for host in whole)
    plan["delivered_percent"] = round(100 * plan["delivered_mib"] / promised, 3) if promised else None
    plan["over_mib"] = round(sum(max(0.0, host["peak_mib"] - host_mib) for host in whole), 3)
    reached = [host["seconds_to_90_percent"] for host in whole]
    plan["seconds_to_90_percent"] = None if None in reached else max(reached)
