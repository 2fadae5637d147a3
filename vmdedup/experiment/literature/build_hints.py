"""XLH against KSM at the same rate on guests that build: sooner, and with fewer visits. Miller et al., ATC 2013."""

from __future__ import annotations

from typing import Any

from vmdedup.experiment.literature.base import Bench, Curve, Experiment, Finding
from vmdedup.experiment.literature.figures import Published
from vmdedup.experiment.literature.runs import PAGES_PER_MIB, column, generated, last, mib, scenario
from vmdedup.experiment.literature.verdict import Row
from vmdedup.result.run import Result

GUESTS, MIB = 2, 64


def build(bench: Bench, published: Published) -> Finding:
    """Both runs, and their ratios. Plain KSM is xlh without runs for hints: the same, step by step, but counted."""
    ksm = _run(bench, {"name": "xlh", "tunables": {"hint_runs": 0}})
    xlh = _run(bench, {"name": "xlh"})
    times = column(xlh, "time_s")
    saved = {"KSM": column(ksm, "saved_pages"), "XLH": column(xlh, "saved_pages")}
    levels = published.levels
    ratio = sum(saved["XLH"]) / max(1.0, sum(saved["KSM"]))
    found = _found(xlh) / max(1.0, _found(ksm))
    visits = _visits(ksm) / _visits(xlh)
    half = max(saved["KSM"]) / 2
    earlier = _first(times, saved["KSM"], half) - _first(times, saved["XLH"], half)
    scan = GUESTS * MIB * PAGES_PER_MIB / (_rate(ksm, times))
    rows = [
        Row("saved on average, XLH to KSM", "×", levels["saved_ratio"], ratio, 1.0, "XLH saves more", ratio > 1),
        Row("sharing found, XLH to KSM", "×", levels["found_ratio"], found, 2.5, "XLH finds more", found > 1),
        Row("visits a sharing, KSM to XLH", "×", levels["visits_ratio"], visits, 2.0, "XLH visits fewer", visits > 1),
        Row("earlier", "full scans", levels["earlier_scans"], earlier / scan, 1.5, "XLH is sooner", earlier > 0),
    ]
    curves = [Curve(name, times, mib(pages)) for name, pages in saved.items()]
    note = f"Earlier: until half of KSM's most is saved, {earlier:g} s; a full scan of all memory takes {scan:.1f} s."
    return Finding(rows, note, ("time, s", "saved, MiB"), curves)


def _run(bench: Bench, policy: dict[str, Any]) -> Result:
    group = {"count": GUESTS, "memory": f"{MIB}MiB", "workload": "build", "disk": generated(64)}
    return bench.run(scenario("build", 7 if bench.quick else 20, policy, [group], pages=100))


def _found(result: Result) -> float:
    return last(result, "found_by_hint") + last(result, "found_by_scan")


def _visits(result: Result) -> float:
    return last(result, "pages_scanned") / max(1.0, _found(result))


def _rate(result: Result, times: list[float]) -> float:
    return last(result, "pages_scanned") / times[-1]


def _first(times: list[float], values: list[float], least: float) -> float:
    return next(time for time, value in zip(times, values, strict=True) if value >= least)


EXPERIMENTS = (
    Experiment(
        "xlh-build",
        "XLH and KSM: two guests that build",
        "xlh_build",
        "Two guests of 64 MiB that compile sources on one generated disk in place of two of 512 MiB that build a "
        "kernel; 5,000 pages a second, as in the paper. Fair: hints come from the guests' own reads and writes of "
        "files, and both policies have the same rate. Less so: a full scan takes 7 s instead of 44, the build is "
        "seconds long, and what it has read stays in memory, so that KSM finds most of it in the end.",
        build,
    ),
)
