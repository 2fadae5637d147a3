"""Difference Engine on guests that do the same: RUBiS and compilations. OSDI 2008, section 5.4.1."""

from __future__ import annotations

from typing import Final

from vmdedup.papers.bench.base import PAPER, Bench, Curve, Experiment, Finding
from vmdedup.papers.bench.published import Published
from vmdedup.papers.bench.runs import PAGES_PER_MIB, column, last, scenario
from vmdedup.papers.bench.verdict import Row
from vmdedup.papers.difference_engine.loads import ESX, MIB, alike, engine
from vmdedup.papers.difference_engine.split import Split, means_between, split
from vmdedup.result.run import Result

RUN_S: Final = 1200.0  # of the paper's time
PAPER_MIB: Final = 256


def rubis(bench: Bench, published: Published) -> Finding:
    """Averages over the run by technique and number of guests, and what ESX saves meanwhile."""
    rows: list[Row] = []
    curves: list[Curve] = []
    means: dict[int, dict[str, float]] = {}
    for count in (1, 2) if bench.quick else (1, 2, 4, 6):
        _, times, found = _run(bench, "webdb", count, "difference_engine")
        means[count] = means_between(times, found, 0, RUN_S)
        _, _, by_esx = _run(bench, "webdb", count, "esx")
        esx = means_between(times, by_esx, 0, RUN_S)["saved"]
        claims = _claims(means, count, esx)
        who = f"{count} guests" if count > 1 else "1 guest"
        for name, value in means[count].items():
            paper = published.levels[f"vms_{count}_{name}_percent"]
            rows.append(Row(f"{who}: {name}", "%", paper, value, 10.0, *claims[name]))
        rows.append(Row(f"{who}: ESX", "%", None, esx, None, *claims["saved"]))
        curves.append(Curve("Difference Engine", times, found["saved"], who))
        curves.append(Curve("ESX", times, by_esx["saved"], who))
        level = published.levels[f"vms_{count}_saved_percent"]
        curves.append(Curve("Difference Engine", times[:: len(times) - 1], [level, level], who, PAPER))
    return Finding(rows, _NOTE, ("time of the paper, s", "saved, % of memory"), curves)


def compile_kernel(bench: Bench, published: Published) -> Finding:
    """What is saved, how much of it by sharing, and what guests pay for it, of their time."""
    count = 2 if bench.quick else 4
    result, times, found = _run(bench, "build", count, "difference_engine")
    _, _, by_esx = _run(bench, "build", count, "esx")
    means = means_between(times, found, 0, RUN_S)
    esx = means_between(times, by_esx, 0, RUN_S)["saved"]
    sharing = 100 * means["shared"] / means["saved"]
    slowdown = 100 * last(result, "guests_cost_s") / (count * column(result, "time_s")[-1])
    saved, at_most = published.levels["vms_4_saved_percent"], published.levels["slowdown_percent"]
    above = "Difference Engine saves more than ESX", means["saved"] > esx
    rows = [
        Row("saved", "%", saved if count == 4 else None, means["saved"], 10.0, *above),
        Row("ESX", "%", None, esx, None, *above),
        Row("by sharing, of what is saved", "%", None, sharing, None, "mostly by sharing", sharing > 50),
        Row("guests' time for copies and pages back", "%", at_most, slowdown, at_most, "≤ 5 %", slowdown <= at_most),
    ]
    curves = [Curve(name, times, values) for name, values in found.items()]
    curves.append(Curve("saved, ESX", times, by_esx["saved"]))
    curves.append(Curve("saved", (), [saved], kind=PAPER))
    return Finding(rows, _NOTE + _PAID, ("time of the paper, s", "saved, % of memory"), curves)


def _claims(means: dict[int, dict[str, float]], count: int, esx: float) -> dict[str, tuple[str, bool]]:
    """The paper's orderings, and whether ours has them."""
    ours, alone = means[count], means[1]
    order = "sharing > patching > compression", ours["shared"] > ours["patched"] > ours["compressed"]
    claims = dict.fromkeys(ours, order) | {
        "saved": ("Difference Engine saves more than ESX", ours["saved"] > esx),
    }
    if count > 1:
        claims["patched"] = "less than in one guest alone", ours["patched"] < alone["patched"]
        claims["compressed"] = "less than in one guest alone", ours["compressed"] < alone["compressed"]
        claims["shared"] = "more than in one guest alone", ours["shared"] > alone["shared"]
    return claims


def _run(bench: Bench, workload: str, count: int, policy: str) -> tuple[Result, list[float], Split]:
    """A run: its result, the paper's times of its rows, and what it saves at them."""
    mib = 16 if bench.quick else MIB
    scale = mib / PAPER_MIB
    seconds = round(RUN_S * scale / (4 if bench.quick else 1))
    policies = {"difference_engine": engine(scale, scale), "esx": ESX}
    result = bench.run(scenario(f"{workload}-{count}", seconds, policies[policy], alike(count, workload, mib)))
    times = [RUN_S * time / seconds for time in column(result, "time_s")]
    return result, times, split(result, count * mib * PAGES_PER_MIB)


_NOTE: Final = (
    "Averages over the whole run, its start included; storage is taken off what patches and compression save. ESX "
    "keeps to 450 pages a second of each guest, as the paper's did. Memory is all there from the start, as zeros, as "
    "Xen gives it."
)
_PAID: Final = (
    " What guests pay is a model: copies of shared pages and pages brought back, by the paper's own costs (table 2), "
    "as a share of the time of one processor each."
)
_SIZES: Final = (
    "Guests of 32 MiB from one generated disk in place of 256 MB: memory, the run and the engine's least time between "
    "two passes are an eighth of the paper's, all rates as they are. What a system has in memory after its boot is our "
    "estimate."
)

EXPERIMENTS = (
    Experiment(
        "de-rubis",
        "Difference Engine: 1 to 6 alike web servers with databases",
        "difference_engine_rubis",
        f"A web server with a database in place of RUBiS. {_SIZES} Fair: one program and its files in all guests, a "
        "page cache and heaps of each one's own, for as many passes as there. Less so: contents of disks and heaps are "
        "generated, and how much of memory is a guest's own decides the levels.",
        rubis,
    ),
    Experiment(
        "de-compile",
        "Difference Engine: four alike guests that compile",
        "difference_engine_compile",
        f"Compilers that start, read sources, grow, write an object and end, over and over, in place of building Linux "
        f"2.6.18. {_SIZES} Fair: what compilation does to memory is the same, short lives of pages and a page cache of "
        "equal sources. Less so: objects are alike by a parameter, and our guests of 32 MiB fill their memory sooner.",
        compile_kernel,
    ),
)
