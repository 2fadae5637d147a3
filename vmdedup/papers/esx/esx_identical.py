"""ESX's best case: 1 to 10 identical guests, and the law that reclaimed memory follows. OSDI 2002, section 4.4."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from vmdedup.papers.bench.base import PAPER, Bench, Curve, Experiment, Finding
from vmdedup.papers.bench.runs import PAGES_PER_MIB, generated, percent_of, scenario
from vmdedup.papers.bench.verdict import Row
from vmdedup.result.published import Published

MIB, DISK_MIB = 16, 48
NO_LIMIT = {"host_pages_per_second": 0, "vm_pages_per_second": 0}


def identical(bench: Bench, published: Published) -> Finding:
    """Reclaimed memory by the number of guests under esx and ideal, against the law fitted to the ends."""
    counts = (1, 2, 4) if bench.quick else (1, 2, 5, 10)
    esx = [_reclaimed(bench, count, {"name": "esx", "tunables": NO_LIMIT}) for count in counts]
    ideal = [_reclaimed(bench, count, {"name": "ideal"}) for count in counts]
    alone, most = esx[0], counts[-1]
    common = (esx[-1] - alone) / (1 - 1 / most)
    law = [common * (1 - 1 / count) + alone for count in counts]
    off = max(abs(ours - expected) for ours, expected in zip(esx, law, strict=True))
    grows = all(before < after for before, after in pairwise(esx))
    levels = published.levels
    level = levels["reclaimed_10_percent"]
    rows = [
        Row(f"reclaimed, {most} guests", "%", level if most == 10 else None, esx[-1], "grows with n", grows),
        Row("reclaimed, 1 guest: s", "%", levels["reclaimed_1_percent"], alone),
        Row("in common: f", "%", levels["common_percent"], common),
        Row("farthest from f (1 - 1/n) + s", "points", None, off, "less than 3 points", off < 3, own=True),
        Row("esx of ideal", "%", None, 100 * esx[-1] / ideal[-1]),
    ]
    numbers = [float(count) for count in counts]
    papers = Curve("esx", [10.0], [level.value], kind=PAPER)
    curves = (Curve("ideal", numbers, ideal), Curve("esx", numbers, esx), Curve("law", numbers, law), papers)
    note = f"The law f (1 - 1/n) + s, with f and s from the runs with 1 and {most} guests, as the paper's are from its."
    return Finding(rows, note, ("guests", "reclaimed, % of memory"), curves)


def _reclaimed(bench: Bench, count: int, policy: dict[str, Any]) -> float:
    """Per cent of the guests' memory at the end."""
    group = {
        "count": count,
        "memory": f"{MIB}MiB",
        "workload": "database",
        "disk": generated(DISK_MIB),
        "kernel_mib": 2,
    }
    seconds = 8 if bench.quick else 20
    result = bench.run(scenario(f"identical-{count}", seconds, policy, [group], pages=100 * count))
    return percent_of(result, "saved_pages", count * MIB * PAGES_PER_MIB)


EXPERIMENTS = (
    Experiment(
        "esx-identical",
        "ESX: 1 to 10 identical guests",
        "esx_identical",
        "Guests of 16 MiB on one generated disk, each a web server with a database, in place of Red Hat 7.2 with "
        "SPEC95 in 40 MB; no limit of pages a second, so that seconds stand for the paper's half hour. Fair for the "
        "law, which holds for whatever share of memory is common; the level depends on how much of memory is a "
        "guest's own.",
        identical,
    ),
)
