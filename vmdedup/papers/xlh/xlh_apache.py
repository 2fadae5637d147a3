"""XLH against KSM on guests that serve files, and on one that serves beside one that builds. Miller et al., 2013."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vmdedup.papers.bench.base import Bench, Curve, Experiment, Finding
from vmdedup.papers.bench.runs import Data, column, last, mib
from vmdedup.papers.bench.verdict import Row
from vmdedup.papers.xlh.hints import found, full_scan, hinted, visits, visits_row, wait
from vmdedup.papers.xlh.xlh_build import BUILDERS
from vmdedup.result.published import Level, Published
from vmdedup.result.run import Result

SECONDS: Final = 42
_SERVER: Final[Data] = {
    **BUILDERS[0],
    "name": "web",
    "workload": "files",
    "parameters": {"files": 1500, "zipf": 0.9, "read_mib_s": 6.0, "write_mib_s": 0.2, "heap_share": 0.03},
}
SERVERS: Final[list[Data]] = [_SERVER]
MIXED: Final[list[Data]] = [{**BUILDERS[0], "count": 1}, {**_SERVER, "count": 1, "start_at": "1s"}]


def apache(bench: Bench, published: Published) -> Finding:
    """Two servers, then, unless it is to be quick, a builder and a server."""
    levels = published.levels
    loads = {"web": SERVERS} if bench.quick else {"web": SERVERS, "mixed": MIXED}
    rows: list[Row] = []
    notes: list[str] = []
    curves: list[Curve] = []
    for load, groups in loads.items():
        ksm, xlh = (hinted(bench, SECONDS, groups, name) for name in ("KSM", "XLH RO"))
        rows += _ratios(load, ksm, xlh, levels)
        notes.append(_note(load, ksm, xlh))
        for name, run in (("KSM", ksm), ("XLH", xlh)):
            curves.append(Curve(name, column(run, "time_s"), mib(column(run, "saved_pages")), load))
    return Finding(rows, " ".join(notes), ("time, s", "saved, MiB"), curves)


def _ratios(load: str, ksm: Result, xlh: Result, levels: Mapping[str, Level]) -> list[Row]:
    more = found(xlh) / max(1.0, found(ksm))
    earlier = (wait(ksm) - wait(xlh)) / full_scan(SERVERS)
    sooner = "XLH is sooner", earlier > 0
    paper = Level(levels[f"{load}_found_xlh"].value / levels[f"{load}_found_ksm"].value)
    rows = [
        Row(f"{load}: sharing found, XLH to KSM", "×", paper, more, "XLH finds more", more > 1),
        Row(f"{load}: found earlier", "full scans", levels[f"{load}_earlier_scans"], earlier, *sooner),
    ]
    if load == "web":
        fewer = visits(ksm) > visits(xlh)
        for name, run in (("ksm", ksm), ("xlh", xlh)):
            rows.append(visits_row(f"web: visits a sharing, {name.upper()}", levels[f"visits_{name}"], run, fewer))
    return rows


def _note(load: str, ksm: Result, xlh: Result) -> str:
    possible = column(xlh, "possible_pages")
    share = 100 * sum(possible) / len(possible) / max(1.0, last(xlh, "allocated_pages"))
    return (
        f"{load.capitalize()}: merged {found(ksm):,.0f} and {found(xlh):,.0f} pages, {wait(ksm):.1f} and "
        f"{wait(xlh):.1f} s after their hints on average; {share:.0f} % of memory could be saved on average."
    )


EXPERIMENTS = (
    Experiment(
        "xlh-apache",
        "XLH and KSM: web servers, and one beside a build",
        "xlh_apache",
        "Two guests of 32 MiB that serve 160 MiB of files under a Zipf law in place of two of 512 MiB with Apache "
        "under httperf, then one of them beside one that builds as in xlh-build; 5,000 pages a second, a full "
        "scan of 3.3 s in place of 44, and 42 s of time. Fair: hints are the reads that miss the guest's page "
        "cache. Each guest has its own requests, so what both have cached is equal by popularity, not by time, "
        "and less of memory can be saved than in a build; the paper's files and request rate are not known to us.",
        apache,
    ),
)
