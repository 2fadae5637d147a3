"""The real memory that a run needs, beside what its guests believe they have.

    python -m benchmarks.memory
    python -m benchmarks.memory --scenario dense --json

Runs a scenario in a process of its own and adds up, again and again, the proportional set sizes (PSS) of it
and of all its descendants: private memory counts in full, shared memory once over all of them. Linux only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MIB = 1 << 20


def descendants(root: int) -> set[int]:
    """A process and all that come from it."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
            except OSError:
                continue
            parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    found = {root}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def pss(pid: int) -> int:
    """A process's proportional set size in bytes; 0 if it has gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def measure(scenario: str, pause: float) -> dict[str, float]:
    """Run the scenario and watch it."""
    command = [sys.executable, "-m", "vmdedup", "run", scenario, "--json", "--quiet"]
    with tempfile.TemporaryFile() as output, subprocess.Popen(command, stdout=output) as run:
        peak, processes, looks = 0, 0, 0
        while run.poll() is None:
            family = descendants(run.pid)
            peak, processes, looks = max(peak, sum(map(pss, family))), max(processes, len(family)), looks + 1
            time.sleep(pause)
        output.seek(0)
        document = json.load(output)
    believed = sum(guest["memory_mib"] for guest in document["guests"])
    return {
        "believed_mib": believed,
        "peak_mib": round(peak / MIB, 1),
        "peak_percent": round(100 * peak / MIB / believed, 1),
        "allocated_mib": document["allocated_mib"],
        "used_mib": document["used_mib"],
        "processes": processes,
        "looks": looks,
    }


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", default="sequential-boot")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between two looks")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.scenario, options.pause)
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:14} {value:10,}")


if __name__ == "__main__":
    main()
