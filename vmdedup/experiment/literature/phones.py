"""Phones: similar pages beside equal ones (Sparrow, DATE 2024), and pages that had their chances (ISCE 2014)."""

from __future__ import annotations

from vmdedup.experiment.literature.base import Bench, Curve, Experiment, Finding
from vmdedup.experiment.literature.figures import Published
from vmdedup.experiment.literature.runs import column, generated, last, mib, scenario
from vmdedup.experiment.literature.verdict import Row

POLICIES = ("group_limited", "n_chance", "similar_page")


def phones(bench: Bench, published: Published) -> Finding:
    """One phone under three policies; group_limited stands for scanning everything for equal pages."""
    group = {
        "name": "phone",
        "memory": "48MiB",
        "workload": "phone",
        "parameters": {"switch_s": 3.0},
        "disk": generated(24),
        "kernel_mib": 2,
    }
    seconds = 10 if bench.quick else 30
    results = {name: bench.run(scenario("phone", seconds, {"name": name}, [group], pages=100)) for name in POLICIES}
    saved = {name: column(result, "saved_pages") for name, result in results.items()}
    work = {name: last(result, "ksmd_cpu_s") for name, result in results.items()}
    mean = {name: sum(pages) / len(pages) for name, pages in saved.items()}
    more = 100 * (mean["similar_page"] / max(1.0, mean["group_limited"]) - 1)
    less = 100 * (1 - work["n_chance"] / work["group_limited"])
    levels = published.levels
    rows = [
        Row("similar pages save more", "%", levels["similar_more_percent"], more, 10.0, "more", more > 0),
        Row("chances work less", "%", levels["chances_less_percent"], less, 10.0, "less", less > 0),
    ]
    kept = 100 * mean["n_chance"] / max(1.0, mean["group_limited"])
    curves = [Curve(name, column(results[name], "time_s"), mib(saved[name])) for name in POLICIES]
    return Finding(rows, f"With chances {kept:.1f} % of the saving is kept.", ("time, s", "saved, MiB"), curves)


EXPERIMENTS = (
    Experiment(
        "phones",
        "Phones: similar pages and chances",
        "phones",
        "One emulated phone of 48 MiB whose apps fork from one zygote and change every 3 s, in place of real phones; "
        "scan work by one price list in place of power, so that levels are not those of a battery. Fair as to which "
        "pages a policy looks at; heaps are synthetic, with shares of equal and similar pages taken from the "
        "literature.",
        phones,
    ),
)
