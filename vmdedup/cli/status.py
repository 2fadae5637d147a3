"""vmdedup status: KSM of this host, or of one whose files are below a folder, as it is now."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vmdedup.cli.say import say, say_document
from vmdedup.units import MIB, PAGE_SIZE

HELP = """Say what KSM does at this moment on this host: tunables, counters, what is saved, and by which processes.

Reads files only. With --root it is the host whose files are below a folder: one of `vmdedup mount`, or another
container's. In `vmdedup exec` it is the emulated host.

\b
  vmdedup status
  vmdedup status --json
  vmdedup status --root host
  vmdedup exec identical -- sh -c 'sleep 20; vmdedup status'
"""
SCHEMA_VERSION = 1
_MOST = 20  # processes that are shown


def status(
    root: Annotated[Path, typer.Option("--root", metavar="DIR", help="The folder that has sys/ and proc/.")] = Path(
        "/"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead.")] = False,
) -> int:
    """Returns the exit status."""
    from vmdedup.metrics.reading import read

    reading = read(root)
    saved = reading.ksm["pages_sharing"] + reading.ksm.get("ksm_zero_pages", 0)
    if as_json:
        processes = [{"pid": each.pid, "name": each.name, **each.stat} for each in reading.processes]
        document: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "ksm": dict(reading.ksm),
            "advisor_mode": reading.advisor,
            "saved_mib": round(saved * PAGE_SIZE / MIB, 3),
            "memory_mib": {name: round(value / MIB, 3) for name, value in reading.memory.items()},
            "processes": processes,
        }
        say_document(document)
        return 0
    for name, value in reading.ksm.items():
        say(f"{name:36} {value:>14,}")
    say(f"saved {saved * PAGE_SIZE / MIB:,.1f} MiB, zero pages that ksmd placed among them")
    largest = sorted(reading.processes, key=lambda each: -each.stat.get("ksm_merging_pages", 0))
    for each in largest[:_MOST]:
        merged = each.stat.get("ksm_merging_pages", 0) * PAGE_SIZE / MIB
        profit = each.stat.get("ksm_process_profit", 0) / MIB
        say(f"{each.name:30} {each.pid:>8} merged {merged:10,.1f} MiB, profit {profit:+10,.1f} MiB")
    if len(largest) > _MOST:
        say(f"and {len(largest) - _MOST} more processes; --json has them all")
    return 0
