"""--as-measured RUN: what a run of real guests did, as it is written over a scenario."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vmdedup.scenario.measured import AsMeasured

if TYPE_CHECKING:
    from vmdedup.result.did import Measured

_MILLISECOND = 1_000_000  # ns


def as_measured(path: Path) -> AsMeasured:
    """What the guests of each group did on average, and how fast ksmd was. UsageError: it was no run of real guests."""
    from vmdedup.result.did import read_measured
    from vmdedup.run.qemu.plan import IMAGE

    measured = read_measured(path)
    groups, before = {}, []
    for name, members in measured.groups.items():
        did = measured.of_group(members)
        image = str(measured.disks.get(name, {}).get("image", IMAGE))
        groups[name] = (did.parameters if did else {}, image)
        before += [did.seconds - measured.seconds] if did else []
    return AsMeasured(max(0.0, sum(before) / len(before)) if before else 0.0, _page_cost(measured), groups)


def _page_cost(measured: Measured) -> int | None:
    """Nanoseconds between two pages, without ksmd's rests between batches."""
    batch, rest_ms = (float(measured.knobs[name]) for name in ("pages_to_scan", "sleep_millisecs"))
    if not measured.scanned:
        return None
    a_page = measured.seconds * 1e9 / measured.scanned - rest_ms * _MILLISECOND / batch
    return max(1, round(a_page))
