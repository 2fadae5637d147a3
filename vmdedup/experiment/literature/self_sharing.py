"""Sharing within a machine against sharing between machines. Barker et al., USENIX ATC 2012."""

from __future__ import annotations

from vmdedup.experiment.literature.base import Bench, Curve, Experiment, Finding
from vmdedup.experiment.literature.figures import Published
from vmdedup.experiment.literature.runs import PAGES_PER_MIB, Data, column, generated, last, mib, scenario
from vmdedup.experiment.literature.verdict import Row

MIB = 48


def self_sharing(bench: Bench, published: Published) -> Finding:
    """Exact sharing at each moment between machines of different owners; zero pages are left out."""
    seconds = 6 if bench.quick else 20
    result = bench.run(scenario("machines", seconds, {"name": "ideal"}, _machines()))
    within, between = last(result, "within_guest_pages"), last(result, "between_guests_pages")
    shared = 100 * (within + between) / (len(_machines()) * MIB * PAGES_PER_MIB)
    of_shared = 100 * within / max(1.0, within + between)
    levels = published.levels
    most = levels["shared_percent"]
    rows = [
        Row("shared, zero pages apart", "%", None, shared, None, f"paper: generally under {most:g} %", shared < most),
        Row(
            *("of that within one machine", "%", levels["within_of_shared_percent"], of_shared, 10.0),
            *("more within than between", within > between),
        ),
    ]
    curves = [
        Curve(name, column(result, "time_s"), mib(column(result, f"{name.replace(' ', '_')}_pages")))
        for name in ("within guest", "between guests")
    ]
    return Finding(rows, "", ("time, s", "saved by exact sharing, MiB"), curves)


def _machines() -> list[Data]:
    """Four machines: three systems, two of the four on releases of one that differ in most files, all with ASLR."""
    common = {"memory": f"{MIB}MiB", "kernel_mib": 2, "aslr": "bytes"}
    loads = ("webdb", "build", "fileserver", "webdb")
    return [
        {
            **common,
            "name": f"machine{number}",
            "workload": load,
            "disk": generated(64, min(number, 2)),
            "variant": {"differs": 0.9, "seed": number},
        }
        for number, load in enumerate(loads)
    ]


EXPERIMENTS = (
    Experiment(
        "barker",
        "Barker: sharing within and between machines",
        "barker",
        "Four guests of 48 MiB with different loads on three unlike generated disks and two releases of one, with "
        "ASLR, in place of traces of people's desktops and servers, which are not to be had in full. Fair as to "
        "sharing between machines, which follows from what files they have in common; sharing within a machine is "
        "that of our synthetic heaps and caches, not of desktop programs.",
        self_sharing,
    ),
)
