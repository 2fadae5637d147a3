"""Smart scan: how many pages fewer KSM looks at in a full scan, and what it costs in merging. Linux 6.7."""

from __future__ import annotations

from vmdedup.experiment.literature.base import Bench, Curve, Experiment, Finding
from vmdedup.experiment.literature.figures import Published
from vmdedup.experiment.literature.runs import column, generated, last, mib, scenario
from vmdedup.experiment.literature.verdict import Row
from vmdedup.result.run import Result


def smart_scan(bench: Bench, published: Published) -> Finding:
    """Two runs, smart_scan 0 and 1, and the pages that each looked at for a full scan."""
    results = {name: _run(bench, switch) for name, switch in (("without", 0), ("with", 1))}
    fewer = 100 * (1 - _pages_a_scan(results["with"]) / _pages_a_scan(results["without"]))
    saved = {name: column(result, "saved_pages") for name, result in results.items()}
    merged = sum(saved["with"]) / max(1.0, sum(saved["without"]))
    levels = published.levels
    rows = [
        Row("fewer pages a full scan", "%", levels["fewer_pages_percent"], fewer, 7.5, "fewer with it", fewer > 0),
        Row("saved on average, with to without", "×", levels["merged_ratio"], merged, 0.05),
    ]
    scans = " and ".join(f"{last(result, 'full_scans'):g} {name}" for name, result in results.items())
    curves = [Curve(f"{name} smart scan", column(results[name], "time_s"), mib(saved[name])) for name in results]
    return Finding(rows, f"Full scans: {scans}.", ("time, s", "saved, MiB"), curves)


def _pages_a_scan(result: Result) -> float:
    return last(result, "pages_scanned") / max(1.0, last(result, "full_scans"))


def _run(bench: Bench, switch: int) -> Result:
    group = {"count": 3, "memory": "24MiB", "workload": "webdb", "disk": generated(48), "kernel_mib": 2}
    data = scenario("smart-scan", 20 if bench.quick else 40, {"name": "ksm"}, [group], pages=200)
    data["ksm"]["smart_scan"] = switch
    return bench.run(data)


EXPERIMENTS = (
    Experiment(
        "smart-scan",
        "Smart scan: pages that are skipped",
        "smart_scan",
        "Three guests of 24 MiB, web servers with databases on one generated disk, in place of 36 worker processes of "
        "a web server in 64 GB. Fair as to the mechanism, which is the kernel's own rule; how much is skipped depends "
        "on the share of pages that never merge, and on how many full scans there are.",
        smart_scan,
    ),
)
