"""MIXED-2: a web server of many static pages, a database, a file server, on three systems. OSDI 2008, section 5.4.2."""

from __future__ import annotations

from typing import Final

from vmdedup.papers.bench.base import PAPER, Bench, Curve, Experiment, Finding
from vmdedup.papers.bench.runs import PAGES_PER_MIB, Data, column, scenario
from vmdedup.papers.bench.verdict import Row
from vmdedup.papers.difference_engine.loads import MIB, PAPERS_RATE, RATES_NOTE, engine, esx_rates, unlike
from vmdedup.papers.difference_engine.split import mean_between, split
from vmdedup.papers.difference_engine.versus import ABOVE, esx_rows
from vmdedup.result.published import Published

PAPER_MIB: Final = 512
RUN_S: Final = 1500.0  # of the paper's time
REST_S: Final = 1200.0  # when guests have done their work
DBENCH_S: Final = 360.0  # then, in the paper, IOZone
PHASES: Final = {"first": (0.0, 500.0), "middle": (600.0, 1200.0), "end": (1500.0, 1500.0)}
_PAGES_SERVED: Final = 32_000


def mixed2(bench: Bench, published: Published) -> Finding:
    """While guests work, and at the end, by technique, and ESX's at each rate."""
    mib = 16 if bench.quick else MIB
    scale = mib / PAPER_MIB
    times, engine_saves = _run(bench, "difference-engine", engine(scale, scale), mib)
    esx = {}
    for number, (rate, policy) in enumerate(esx_rates(PAPER_MIB).items()):
        esx[rate] = _run(bench, f"esx-{number}", policy, mib)[1]["saved"]
    rows: list[Row] = []
    for phase, (start, end) in PHASES.items():
        ours = {name: mean_between(times, values, start, end) for name, values in engine_saves.items()}
        theirs = {rate: mean_between(times, values, start, end) for rate, values in esx.items()}
        rows += _rows(phase, published, ours, theirs)
    curves = [Curve(name, times, values, _panel(name)) for name, values in engine_saves.items()]
    curves += [Curve(f"ESX, {rate}", times, values, _panel("saved")) for rate, values in esx.items()]
    for phase, span in PHASES.items():
        level = {name: published.levels[f"{phase}_{name}_percent"].value for name in (*engine_saves, "esx")}
        level[f"ESX, {PAPERS_RATE}"] = level.pop("esx")
        curves += [Curve(name, span, [at, at], _panel(name), PAPER) for name, at in level.items()]
    return Finding(rows, _NOTE, ("time of the paper, s", "saved, % of memory"), curves)


def _panel(name: str) -> str:
    return "Difference Engine by technique" if name in ("shared", "patched", "compressed") else "in all"


def _rows(phase: str, published: Published, ours: dict[str, float], esx: dict[str, float]) -> list[Row]:
    order = "sharing > patching > compression", ours["shared"] > ours["patched"] > ours["compressed"]
    above = ABOVE, ours["saved"] > esx[PAPERS_RATE]
    rows = []
    for name, value in ours.items():
        paper = published.levels[f"{phase}_{name}_percent"]
        rows.append(Row(f"{phase}: {name}", "%", paper, value, *(above if name == "saved" else order)))
    ratio = published.levels["to_esx_ratio"]
    return [*rows, *esx_rows(f"{phase}: ", published.levels[f"{phase}_esx_percent"], ratio, ours["saved"], esx)]


def _run(bench: Bench, name: str, policy: Data, mib: int) -> tuple[list[float], dict[str, list[float]]]:
    """The paper's times of its rows, and what a run saves at them by technique."""
    scale = mib / PAPER_MIB
    groups = unlike(("files", "database", "dbench"), mib)
    options: tuple[Data, ...] = (
        {"files": round(_PAGES_SERVED * scale), "file_kib": 64, "write_mib_s": 0.0},
        {"workers": 1, "read_mib_s": 1.0, "heap_share": 0.2},
        {"run_s": DBENCH_S * scale, "mib_s": 5.0},
    )
    pause = {"events": [{"at": f"{round(1000 * REST_S * scale)}ms", "do": "pause"}]}
    guests = [group | pause | {"parameters": given} for group, given in zip(groups, options, strict=True)]
    seconds = round(RUN_S * scale)
    result = bench.run(scenario(f"mixed2-{name}", seconds, policy, guests))
    times = [RUN_S * time / seconds for time in column(result, "time_s")]
    return times, split(result, len(guests) * mib * PAGES_PER_MIB)


_NOTE: Final = (
    "The paper's text has 50.5 % against 28.4 % in the middle, 1.8 times. "
    "Storage is taken off what patches and compression save. Memory is all there from the start, as zeros, as Xen "
    "gives it. "
) + RATES_NOTE

EXPERIMENTS = (
    Experiment(
        "de-mixed2",
        "Difference Engine: MIXED-2",
        "difference_engine_mixed2",
        "Three guests of 32 MiB on three unlike generated disks in place of Windows XP, Debian 3.1 and Slackware 10.2 "
        "with 512 MB: a server of 2,000 files in place of Apache with 32,000, a database, and dbench, after which "
        "there is no IOZone. Memory, the run, and the engine's least time between two passes are "
        "a sixteenth of the paper's, all rates as they are; guests rest from its 1,200th second on. Fair: three "
        "systems with little in common, for as many passes as there. Less so: what a "
        "system of the time has in memory after its boot is our estimate, and contents of disks and heaps are "
        "generated.",
        mixed2,
    ),
)
