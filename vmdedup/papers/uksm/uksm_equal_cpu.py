"""UKSM against KSM with the same share of a core. Xia et al., FAST 2018."""

from __future__ import annotations

from vmdedup.papers.bench.base import Bench, Curve, Experiment, Finding
from vmdedup.papers.bench.runs import Data, column, generated, mib, scenario
from vmdedup.papers.bench.verdict import Row
from vmdedup.result.published import Published

CPU = "1%"


def equal_cpu(bench: Bench, published: Published) -> Finding:
    """The largest factor over time, and that at the end, on guests that stand nearly still and on guests that work."""
    rows: list[Row] = []
    curves: list[Curve] = []
    for kind, workload in (("static", "idle"), ("dynamic", "compile")):
        saved = {}
        for name in ("ksm", "uksm"):
            data = scenario(f"equal-{kind}", 8 if bench.quick else 20, {"name": name, "cpu": CPU}, _groups(workload))
            result = bench.run(data)
            saved[name] = column(result, "saved_pages")
            curves.append(Curve(name, column(result, "time_s"), mib(saved[name]), kind))
        pairs = list(zip(saved["uksm"], saved["ksm"], strict=True))
        most = max((ours / theirs for ours, theirs in pairs if theirs >= 100), default=0.0)
        mean = sum(saved["uksm"]) / max(1.0, sum(saved["ksm"]))
        paper = published.levels[f"{kind}_ratio"]
        rows += [
            Row(f"{kind}: most", "×", paper, most, "UKSM saves more", most > 1),
            Row(f"{kind}: on average", "×", None, mean, "UKSM saves more", mean > 1),
        ]
    note = f"Each has {CPU} of a core, by one price list. Most: over time, once KSM has saved 100 pages."
    return Finding(rows, note, ("time, s", "saved, MiB"), curves)


def _groups(workload: str) -> list[Data]:
    """Two guests that are alike, and between them two that have next to nothing in common with anybody."""
    common = {"memory": "48MiB", "workload": workload, "kernel_mib": 2}
    alone = [
        {**common, "name": f"alone{number}", "disk": generated(64, number), "variants": "own"} for number in (1, 2)
    ]
    return [{**common, "name": "alike", "count": 2, "disk": generated(64)}, *alone]


EXPERIMENTS = (
    Experiment(
        "uksm-equal-cpu",
        "UKSM and KSM at equal CPU",
        "uksm_static",
        "Four guests of 48 MiB, two alike and two on disks of their own, idle (static) or building (dynamic), in "
        "place of the paper's guests, containers and desktops, whose sizes we do not have. Fair in that both policies "
        "pay for the same operations from one price list; the factors of the abstract are the largest found, ours one "
        "workload's.",
        equal_cpu,
    ),
)
