"""A synthetic fleet of 50 hosts and 1,500 guests placed by every algorithm but the exact one, and its hosts emulated.

    python -m benchmarks.fleet                              plans only, seconds
    python -m benchmarks.fleet --emulate                    and what ksmd delivers; some minutes on two cores
    python -m benchmarks.fleet --document docs/fleet.md     the same, and writes the page

The fleet is vmdedup.place.synthetic's, its law as stated there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vmdedup.place import synthetic
from vmdedup.place.answer import before, document, plans
from vmdedup.place.delivered import add_delivered
from vmdedup.place.emulation import Emulation, Wanted, tasks
from vmdedup.place.fleet import fleet_of
from vmdedup.place.plan import Room
from vmdedup.place.table import USUAL
from vmdedup.units import GIB, PAGE_SIZE, SECOND_NS

HOSTS, HOST_GIB = 50, 64
NETWORK = 12 * GIB  # bytes a second: 100 Gbit/s
SECONDS, SCALE, PAGES_TO_SCAN = 300, 1024, 4000


def measured(law: synthetic.Law, every: int, jobs: int | None) -> dict[str, Any]:
    """The document of all plans, with what their hosts deliver, and seconds of reading and placing.

    every: emulate one host of so many; 0: none.
    """
    began = time.monotonic()
    guests = synthetic.synthetic(law)
    drawn = time.monotonic()
    fleet, room = fleet_of(guests), Room(HOST_GIB * GIB // PAGE_SIZE, HOSTS)
    read = time.monotonic()
    made, seconds = plans(fleet, room, USUAL, say)
    found = document(fleet, room, made, seconds, NETWORK)
    found["draw_seconds"], found["fleet_seconds"] = drawn - began, read - drawn
    if every:
        wanted = Wanted(SECONDS * SECOND_NS, SCALE, PAGES_TO_SCAN, None, jobs)
        with Emulation(wanted) as emulation:
            for plan, said in zip(made, found["plans"], strict=True):
                makers = tasks(guests, fleet, plan, before(fleet, room), NETWORK, wanted)[::every]
                some = {"hosts": said["hosts"][::every]}
                add_delivered(some, emulation.run(makers, say), SCALE, HOST_GIB * 1024.0)
                said.update({name: value for name, value in some.items() if name != "hosts"})
    return found


def say(text: str) -> None:
    """On a terminal, where we are."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


PAGE = """# A fleet, placed

Written by `{command}`.

{guests:,} guests ({systems} operating systems, {applications} applications, {memory:,.0f} GiB in use; seed {seed}) for
{hosts} hosts of {host} GiB. The law by which they are drawn, their sizes, their files and who shares them, stands in
`vmdedup/place/synthetic.py`. Without any sharing they would need {without} hosts. Guests move from where first fit puts
them, one after the other at {network} GiB/s.

{table}

{notes}

Delivered: {which} of each plan emulated at 1/{scale} of its size, ksmd at {pace:,} pages every 20 ms (of a whole
host), for {seconds} s after its last guest has come; all of these hosts are in `delivered`, and `of promised` is of the
same hosts: it differs by what ksmd has not yet merged and by the sample that the scale is. `90 % after` counts from the
beginning of the moves on. `over` is by how much these hosts took more than they have, at their peak, before ksmd had
merged: memory that a plan needs for a while, and does not promise to need.

To put the contents of all guests together took {together:.1f} s, beside the seconds of each algorithm. What the columns
mean: [placement.md](placement.md).
"""


def page(found: Mapping[str, Any], law: synthetic.Law, every: int) -> str:
    """docs/fleet.md."""
    return PAGE.format(
        command=f"python -m benchmarks.fleet{f' --every {every}' if every > 1 else ''} --document docs/fleet.md",
        guests=law.guests,
        systems=law.systems,
        applications=law.applications,
        memory=found["memory_mib"] / 1024,
        seed=law.seed,
        hosts=HOSTS,
        host=HOST_GIB,
        without=found["hosts_without_sharing"],
        network=NETWORK // GIB,
        table="\n".join(table(found)),
        notes="\n".join(f"- {plan['algorithm']}: {plan['note']}." for plan in found["plans"] if plan["note"]),
        which="each host" if every == 1 else f"one host in {every}",
        scale=SCALE,
        pace=PAGES_TO_SCAN,
        seconds=SECONDS,
        together=found["fleet_seconds"],
    )


COLUMNS = {
    "placed": ("placed", ",.0f", 1.0),
    "hosts_needed": ("hosts", ",.0f", 1.0),
    "promised_mib": ("promised GiB", ",.1f", 1024.0),
    "between_guests_mib": ("between guests GiB", ",.1f", 1024.0),
    "delivered_mib": ("delivered GiB", ",.1f", 1024.0),
    "delivered_percent": ("of promised %", ".1f", 1.0),
    "seconds_to_90_percent": ("90 % after s", ",.0f", 1.0),
    "over_mib": ("over GiB", ",.1f", 1024.0),
    "migrations": ("moves", ",.0f", 1.0),
    "migrated_mib": ("moved GiB", ",.0f", 1024.0),
    "migration_seconds": ("moving s", ",.0f", 1.0),
    "seconds": ("placing s", ".2f", 1.0),
}


def table(found: Mapping[str, Any]) -> Iterator[str]:
    """A row an algorithm."""
    shown = {name: how for name, how in COLUMNS.items() if any(plan.get(name) is not None for plan in found["plans"])}
    yield "| algorithm | " + " | ".join(heading for heading, _, _ in shown.values()) + " |"
    yield "|---" * (len(shown) + 1) + "|"
    for plan in found["plans"]:
        cells = ["-" if plan.get(n) is None else format(plan[n] / unit, how) for n, (_, how, unit) in shown.items()]
        yield f"| {plan['algorithm']} | " + " | ".join(cells) + " |"


def main() -> None:
    """Place, emulate if asked, print or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--guests", type=int, default=1500, help="how many guests")
    parser.add_argument("--seed", type=int, default=1, help="of the fleet")
    parser.add_argument("--emulate", action="store_true", help="emulate the hosts of all plans")
    parser.add_argument("--every", type=int, default=1, help="emulate one host of so many")
    parser.add_argument("--jobs", type=int, help="hosts emulated at once")
    parser.add_argument("--json", action="store_true", help="print one document")
    parser.add_argument("--document", type=Path, help="page to write")
    given = parser.parse_args()
    law = synthetic.Law(guests=given.guests, seed=given.seed)
    every = given.every if given.emulate or given.document is not None else 0
    found = measured(law, every, given.jobs)
    if given.document is not None:
        given.document.write_text(page(found, law, every))
    print(json.dumps(found) if given.json else "\n".join(table(found)))


if __name__ == "__main__":
    main()
