"""What a host of many guests costs: python -m benchmarks.scale [--guests 10,100] [--memory 1GiB] [--minutes 2] [--json]

A host of pages that stand for contents, with guests in four equal parts: booted and no more, idle, file servers and
webdb. ksmd looks at 4,000 pages every 20 ms. Stated are real seconds a guest and virtual minute, the first minute, in
which guests boot, left out; of them those that guests, ksmd and rows took; seconds until the first row; what is saved a
guest; and the most memory that all processes had together.
"""

from __future__ import annotations

import argparse
import json
import logging
import threading
from os import getpid

from benchmarks.memory import descendants, pss
from vmdedup.result.run import Result
from vmdedup.run.measure.rows import Silent
from vmdedup.run.run import run_scenario
from vmdedup.scenario.model import Scenario, validate
from vmdedup.units import GIB, MIB, PAGE_SIZE

WORKLOADS = ("boot", "idle", "fileserver", "webdb")
BOOTS_S = 60.0
LOOK_S = 2.0


def scenario_of(guests: int, memory: str, minutes: int, disk_mib: int) -> Scenario:
    """The host with so many guests. UsageError: there is something wrong with what was asked for."""
    groups = [
        {
            "name": workload,
            "count": (guests + number) // len(WORKLOADS),
            "memory": memory,
            "workload": workload,
            "disk": {"kind": "generated", "mib": disk_mib},
        }
        for number, workload in enumerate(WORKLOADS)
    ]
    made, problems = validate(
        {
            "name": f"rack-{guests}",
            "duration": f"{minutes}min",
            "host": {"pages": "fingerprints", "sample_interval": "1min"},
            "ksm": {"run": 1, "pages_to_scan": 4000},
            "guests": [group for group in groups if group["count"]],
        }
    )
    assert made is not None, problems
    return made


def watched(scenario: Scenario) -> tuple[Result, float]:
    """Run it. Returns also the most GiB that this process and all below it had at a time."""
    peak, over = [0], threading.Event()

    def look() -> None:
        while not over.wait(LOOK_S):
            peak[0] = max(peak[0], sum(map(pss, descendants(getpid()))))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        return run_scenario(scenario, Silent(), logging.NullHandler()), peak[0] / GIB
    finally:
        over.set()
        watcher.join()


def figures(guests: int, result: Result, peak: float) -> dict[str, float]:
    """What is stated of one run."""
    timing = list(result.timing.iter_rows(named=True))
    booted = [row for row in timing if row["time_s"] > BOOTS_S]
    share = guests * (timing[-1]["time_s"] - BOOTS_S) / 60.0
    parts = {part: sum(row[f"{part}_wall_s"] for row in booted) / share for part in ("guests", "ksmd", "sample")}
    return {
        "guests": guests,
        "seconds_a_guest_and_minute": round(sum(parts.values()), 4),
        **{f"of_it_{part}": round(seconds, 4) for part, seconds in parts.items()},
        "start_s": round(timing[0]["wall_s"], 1),
        "saved_mib_a_guest": round(result.series["saved_pages"][-1] * PAGE_SIZE / MIB / guests, 1),
        "peak_gib": round(peak, 2),
    }


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--guests", default="10,100", help="how many, with commas between")
    parser.add_argument("--memory", default="1GiB", help="of each guest")
    parser.add_argument("--minutes", type=int, default=2, help="of virtual time, 2 at least")
    parser.add_argument("--disk-mib", type=int, default=1024)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = []
    for guests in map(int, options.guests.split(",")):
        scenario = scenario_of(guests, options.memory, max(2, options.minutes), options.disk_mib)
        found.append(figures(guests, *watched(scenario)))
        if not options.json:
            print(*(f"{name} {value:,}" for name, value in found[-1].items()), sep="   ", flush=True)
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
