"""Difference Engine on guests that do the same: RUBiS and compilations. OSDI 2008, section 5.4.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vmdedup.papers.bench.base import PAPER, Bench, Curve, Experiment, Finding
from vmdedup.papers.bench.runs import PAGES_PER_MIB, Data, column, last, scenario
from vmdedup.papers.bench.verdict import Row
from vmdedup.papers.difference_engine.loads import MIB, PAPERS_RATE, RATES_NOTE, alike, engine, esx_rates
from vmdedup.papers.difference_engine.split import Split, mean_between, means_between, split
from vmdedup.papers.difference_engine.versus import ABOVE, esx_rows
from vmdedup.result.published import Published
from vmdedup.result.run import Result

RUN_S: Final = 1200.0  # of the paper's time
PAPER_MIB: Final = 256


def rubis(bench: Bench, published: Published) -> Finding:
    """Averages over the run by technique and number of guests, and what ESX saves meanwhile."""
    rows: list[Row] = []
    curves: list[Curve] = []
    means: dict[int, dict[str, float]] = {}
    for count in (1, 2) if bench.quick else (1, 2, 4, 6):
        _, times, found = _run(bench, "database", count)
        means[count] = means_between(times, found, 0, RUN_S)
        by_esx = _esx(bench, "database", count, [PAPERS_RATE])
        esx = _means(times, by_esx)
        claims = _claims(means, count, esx[PAPERS_RATE])
        who = f"{count} guests" if count > 1 else "1 guest"
        for name, value in means[count].items():
            paper = published.levels[f"vms_{count}_{name}_percent"]
            rows.append(Row(f"{who}: {name}", "%", paper, value, *claims[name]))
        ratio = published.levels["to_esx_ratio"] if count > 1 else None
        rows += esx_rows(f"{who}: ", None, ratio, means[count]["saved"], esx)
        curves.append(Curve("Difference Engine", times, found["saved"], who))
        curves.append(Curve(f"ESX, {PAPERS_RATE}", times, by_esx[PAPERS_RATE], who))
        level = published.levels[f"vms_{count}_saved_percent"].value
        curves.append(Curve("Difference Engine", times[:: len(times) - 1], [level, level], who, PAPER))
    return Finding(rows, _NOTE + _RATE, ("time of the paper, s", "saved, % of memory"), curves)


def compile_kernel(bench: Bench, published: Published) -> Finding:
    """What is saved, how much of it by sharing, and what guests pay for it, of their time."""
    count = 2 if bench.quick else 4
    result, times, found = _run(bench, "compile", count)
    by_esx = _esx(bench, "compile", count, list(esx_rates(PAPER_MIB)))
    means, esx = means_between(times, found, 0, RUN_S), _means(times, by_esx)
    sharing = 100 * means["shared"] / means["saved"]
    slowdown = 100 * last(result, "guests_cost_s") / (count * column(result, "time_s")[-1])
    levels = published.levels
    saved, at_most = levels["vms_4_saved_percent"], levels["slowdown_percent"].value
    above = ABOVE, means["saved"] > esx[PAPERS_RATE]
    few = f"at most {at_most:g} %", slowdown <= at_most
    rows = [
        Row("saved", "%", saved if count == 4 else None, means["saved"], *above),
        *esx_rows("", None, levels["to_esx_ratio"], means["saved"], esx),
        Row("by sharing, of what is saved", "%", None, sharing, "mostly by sharing", sharing > 50),
        Row("guests' time for copies and pages back", "%", None, slowdown, *few),
    ]
    curves = [Curve(name, times, values) for name, values in found.items()]
    curves += [Curve(f"saved, ESX, {rate}", times, values) for rate, values in by_esx.items()]
    curves.append(Curve("saved", (), [saved.value], kind=PAPER))
    return Finding(rows, _NOTE + _PAID + RATES_NOTE, ("time of the paper, s", "saved, % of memory"), curves)


def _claims(means: dict[int, dict[str, float]], count: int, esx: float) -> dict[str, tuple[str, bool]]:
    """The paper's orderings, and whether ours has them."""
    ours, alone = means[count], means[1]
    order = "sharing > patching > compression", ours["shared"] > ours["patched"] > ours["compressed"]
    claims = dict.fromkeys(ours, order) | {
        "saved": (ABOVE, ours["saved"] > esx),
    }
    if count > 1:
        claims["patched"] = "less than in one guest alone", ours["patched"] < alone["patched"]
        claims["compressed"] = "less than in one guest alone", ours["compressed"] < alone["compressed"]
        claims["shared"] = "more than in one guest alone", ours["shared"] > alone["shared"]
    return claims


def _esx(bench: Bench, workload: str, count: int, rates: Sequence[str]) -> dict[str, list[float]]:
    """What ESX saves over time at these rates."""
    policies = esx_rates(PAPER_MIB)
    return {rate: _run(bench, workload, count, policies[rate])[2]["saved"] for rate in rates}


def _means(times: list[float], saved: dict[str, list[float]]) -> dict[str, float]:
    return {rate: mean_between(times, values, 0, RUN_S) for rate, values in saved.items()}


def _run(bench: Bench, workload: str, count: int, policy: Data | None = None) -> tuple[Result, list[float], Split]:
    """A run: its result, the paper's times of its rows, and what it saves at them. policy: the engine unless given."""
    mib = 16 if bench.quick else MIB
    scale = mib / PAPER_MIB
    seconds = round(RUN_S * scale / (4 if bench.quick else 1))
    policy = policy or engine(scale, scale)
    result = bench.run(scenario(f"{workload}-{count}", seconds, policy, alike(count, workload, mib)))
    times = [RUN_S * time / seconds for time in column(result, "time_s")]
    return result, times, split(result, count * mib * PAGES_PER_MIB)


_NOTE: Final = (
    "Averages over the whole run, its start included; storage is taken off what patches and compression save. "
    "Memory is all there from the start, as zeros, as Xen gives it. "
)
_RATE: Final = (
    "ESX keeps to 450 pages a second of each guest, as the paper says of its ESX; other rates are in de-compile."
)
_PAID: Final = (
    "What guests pay is a model: copies of shared pages and pages brought back, by the paper's own costs (table 2), "
    "as a share of the time of one processor each. "
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
