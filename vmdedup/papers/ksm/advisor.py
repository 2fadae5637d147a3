"""The kernel's advisor against a fixed pages_to_scan: CPU time, and where it settles. Linux 6.8."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from vmdedup.papers.bench.base import PAPER, Bench, Curve, Experiment, Finding
from vmdedup.papers.bench.runs import PAGES_PER_MIB, Data, column, last, scenario
from vmdedup.papers.bench.verdict import Row
from vmdedup.papers.ksm.workers import MIB, WORKERS
from vmdedup.result.published import Published
from vmdedup.result.run import Result

TARGET_S: Final = 20
GUESTS: Final = 8
SLEEP_MS: Final = 200
COST_US: Final = 400
_GUESTS: Final[Data] = {
    **WORKERS,
    "count": GUESTS,
    "parameters": {**WORKERS["parameters"], "rows_s": 170.0, "read_mib_s": 0.1},
    "start": "one_after_another",
    "delay": "12s",
}


def advisor(bench: Bench, published: Published) -> Finding:
    """ksmd with its advisor, and with pages_to_scan fixed at the most that the advisor came to."""
    seconds = 200 if bench.quick else 400
    pages = GUESTS * MIB * PAGES_PER_MIB
    batch = pages * SLEEP_MS // (1000 * TARGET_S - pages * COST_US // 1000)
    advised = _run(
        *(bench, seconds),
        {
            "advisor_mode": "scan-time",
            "advisor_target_scan_time": TARGET_S,
            "advisor_min_pages_to_scan": batch // 4,
        },
    )
    steps = column(advised, "pages_to_scan")
    fixed = _run(bench, seconds, {"pages_to_scan": round(max(steps))})
    levels = published.levels
    less = 100 * (1 - last(advised, "ksmd_cpu_s") / last(fixed, "ksmd_cpu_s"))
    settled = 100 * _mean(_second_half(steps)) / max(steps)
    took = 100 * _scan_time(advised) / TARGET_S
    kept = 100 * _mean(column(advised, "saved_pages")) / max(1.0, _mean(column(fixed, "saved_pages")))
    rows = [
        Row("CPU saved", "%", levels["cpu_saved_percent"], less, "the advisor takes less", less > 0),
        Row("pages_to_scan settled, of its most", "%", levels["settled_percent"], settled, "less", settled < 100),
        Row("a full scan settled, of the target", "%", None, took),
        Row("saved on average, advised to fixed", "%", None, kept),
    ]
    note = (
        f"Fixed: {max(steps):g} pages, the most that the advisor comes to. The advisor begins with {batch // 4}, and "
        f"has {_mean(_second_half(steps)):.0f} on average in the second half, in which a full scan takes "
        f"{_scan_time(advised):.1f} s, and {_scan_time(fixed):.1f} s with the fixed number, since smart scan, "
        "which is on in both, skips so much: that is the CPU time that a fixed number wastes."
    )
    curves = [Curve(name, column(run, "time_s"), column(run, "pages_to_scan")) for name, run in _named(advised, fixed)]
    curves.append(Curve("advised", (), [levels["settled_percent"].value / 100 * max(steps)], kind=PAPER))
    return Finding(rows, note, ("time, s", "pages_to_scan"), curves)


def _run(bench: Bench, seconds: int, knobs: Mapping[str, Any]) -> Result:
    data = scenario("advisor", seconds, {"name": "ksm"}, [_GUESTS])
    del data["ksm"]["pages_to_scan"]  # the advisor refuses to have it said
    data["host"] |= {"tick": "2s", "sample_interval": "2s"}
    data["ksm"] |= {"sleep_millisecs": SLEEP_MS, "page_cost": f"{COST_US}us", **knobs}
    return bench.run(data)


def _named(advised: Result, fixed: Result) -> list[tuple[str, Result]]:
    return [("advised", advised), ("fixed", fixed)]


def _second_half(values: list[float]) -> list[float]:
    return values[len(values) // 2 :]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _scan_time(result: Result) -> float:
    """Seconds of a full scan in the second half of the run."""
    times, scans = (_second_half(column(result, name)) for name in ("time_s", "full_scans"))
    return (times[-1] - times[0]) / max(1.0, scans[-1] - scans[0])


EXPERIMENTS = (
    Experiment(
        "advisor",
        "The kernel's advisor: CPU time, and where it settles",
        "advisor",
        "8 guests of 6 MiB as in smart-scan that start one after another, in place of Meta's workers. Time: a "
        "full scan is to take 20 s for 200, and a page costs 400 µs, as there are so many fewer; that way ksmd "
        "has a few tens of per cent of a core, within which the advisor's limits of 10 and 70 % lie. Fair: its "
        "law is the kernel's, and so is what makes a scan shorter, smart scan. Less so: Meta's fixed number is "
        "not published; ours is the most that the advisor came to.",
        advisor,
    ),
)
