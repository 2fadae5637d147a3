"""Difference Engine's savings by technique, on guests that are alike and on others. OSDI 2008, section 5.4.

Memory and time are both a fixed part of the paper's, so that the engine makes as many passes. While guests work, and
settled: they rest, and the engine has had several cycles of its five passes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from vmdedup.papers.bench.base import PAPER, Bench, Curve, Experiment, Finding
from vmdedup.papers.bench.runs import PAGES_PER_MIB, Data, column, generated, last, scenario
from vmdedup.papers.bench.verdict import Row
from vmdedup.papers.difference_engine.loads import HEAP, PAPERS_RATE, RATES_NOTE, esx_rates
from vmdedup.papers.difference_engine.split import Split, mean_between, split
from vmdedup.papers.difference_engine.versus import ABOVE, esx_rows
from vmdedup.result.published import Published
from vmdedup.result.run import Result

PAPER_MIB: Final = 512
PAPER_INTERVAL_MS: Final = 4000  # at least so long between two scans of all memory
PAPER_BITS: Final = 18  # of a signature
# What guests of the time have in memory after their boot, of 512 MB: our estimate.
_BOOT: Final = {"cache_share": 0.12, "heap_share": 0.05, "scrubbed": True}


@dataclass(frozen=True)
class Load:
    """A run of the paper's. groups: its guests. Seconds, all of the paper's: how many, when guests rest.

    working: from where to where the paper's graph is read while guests are at work.
    """

    kind: str
    groups: list[Data]
    seconds: int
    rests: int
    working: tuple[int, int]


def settled(bench: Bench, published: Published) -> Finding:
    """Both scenarios under Difference Engine and ESX. Per cent of the guests' memory, as the paper has it."""
    rows: list[Row] = []
    curves: list[Curve] = []
    notes = ["Storage is taken off what patches and compression save."]
    for load in (_alike(_mib(bench)), _unlike(_mib(bench))):
        pages = sum(group.get("count", 1) for group in load.groups) * _mib(bench) * PAGES_PER_MIB
        engine = _run(bench, load, _engine(bench))
        times, found = column(engine, "time_s"), split(engine, pages)
        rates = esx_rates(PAPER_MIB).items()
        esx = {rate: split(_run(bench, load, policy), pages)["saved"] for rate, policy in rates}
        rows += _rows(load, published, times, (found, esx), _scale(bench))
        curves.append(Curve("Difference Engine", times, found["saved"], load.kind))
        curves += [Curve(f"ESX, {rate}", times, saved, load.kind) for rate, saved in esx.items()]
        curves += _papers(load, published, times[-1], _scale(bench))
        notes.append(_keeps_from_more(load.kind, engine, pages))
    return Finding(rows, " ".join([*notes, RATES_NOTE]), ("time, s", "saved, % of memory"), curves)


def _papers(load: Load, published: Published, end: float, scale: float) -> Iterator[Curve]:
    """While guests work, and at the end."""
    working = [second / scale for second in load.working]
    for name, key in (("Difference Engine", "saved"), (f"ESX, {PAPERS_RATE}", "esx")):
        levels = (published.levels[f"{load.kind}_{phase}_{key}_percent"] for phase in ("working", "settled"))
        at_work, at_end = (level.value for level in levels)
        yield Curve(name, working, [at_work, at_work], load.kind, PAPER)
        yield Curve(name, [end], [at_end], load.kind, PAPER)


def _rows(load: Load, published: Published, times: list[float], both: tuple[Split, Split], scale: float) -> list[Row]:
    """While guests work, the mean; then the end. both: what the engine saves, and ESX at each rate."""
    start, end = (second / scale for second in load.working)
    rows: list[Row] = []
    for phase in ("working", "settled"):
        ours, esx = (
            {
                name: mean_between(times, values, start, end) if phase == "working" else values[-1]
                for name, values in found.items()
            }
            for found in both
        )
        where = f"{load.kind}_{phase}"
        claims = _claims(ours, esx[PAPERS_RATE])
        rows += [
            Row(f"{load.kind}, {phase}: {name}", "%", published.levels[f"{where}_{name}_percent"], value, *claims[name])
            for name, value in ours.items()
        ]
        level, ratio = published.levels[f"{where}_esx_percent"], published.levels.get(f"{where}_to_esx_ratio")
        rows += esx_rows(f"{load.kind}, {phase}: ", level, ratio, ours["saved"], esx)
    return rows


def _keeps_from_more(kind: str, result: Result, pages: int) -> str:
    """What exact sharing of whole pages would save at the end, and how much of memory is zero."""
    untouched = pages - last(result, "allocated_pages")
    whole = 100 * (untouched + last(result, "possible_pages")) / pages
    zero = 100 * (untouched + last(result, "zero_pages")) / pages
    return (
        f"{kind.capitalize()}: exact sharing of whole pages would save {whole:.1f} % at the end, {zero:.1f} % of "
        "memory being zero pages."
    )


def _claims(ours: dict[str, float], esx: float) -> dict[str, tuple[str, bool]]:
    """The paper's orderings, and whether ours has them."""
    shared = "sharing saves the most", ours["shared"] > max(ours["patched"], ours["compressed"])
    order = "patching saves more than compression", ours["patched"] > ours["compressed"]
    return {"shared": shared, "patched": order, "compressed": order, "saved": (ABOVE, ours["saved"] > esx)}


def _engine(bench: Bench) -> Data:
    """As in the paper: as many pages to a signature, and a scan takes far longer than the least time between two."""
    bits = PAPER_BITS - round(math.log2(_scale(bench)))
    tunables = {"scan_interval_millisecs": round(PAPER_INTERVAL_MS / _scale(bench)), "detector_bits": bits}
    return {"name": "difference_engine", "tunables": tunables}


def _mib(bench: Bench) -> int:
    return 16 if bench.quick else 48


def _scale(bench: Bench) -> float:
    """How many of the paper's seconds, and of its guests' bytes, ours stand for."""
    return PAPER_MIB / _mib(bench)


def _alike(mib: int) -> Load:
    """Four guests with dbench."""
    ends = 600 * mib // PAPER_MIB
    parameters = {"run_s": float(ends), "mib_s": mib / 6}
    group = _group("alike", mib, "dbench", generated(64), count=4, parameters=parameters)
    return Load("homogeneous", [group], 1200, 600, (100, 750))


def _unlike(mib: int) -> Load:
    """Three systems, each with another load; the first clears pages when they are freed, as Windows does."""
    web = {"cache_share": 0.15, "heap_limit_share": 0.15, "worker_share": 0.01}
    build = {"starts_s": 2.0, "jobs": 2, "object_pages": 4}
    groups = [
        _group("mixed0", mib, "database", generated(64, 0), parameters=web, free_pages="zero_on_free"),
        _group("mixed1", mib, "compile", generated(64, 1), parameters=build),
        _group("mixed2", mib, "compile", generated(64, 2), parameters=build),
    ]
    return Load("mixed", groups, 1500, 1080, (750, 1080))


def _group(name: str, mib: int, workload: str, disk: Data, **options: Any) -> Data:
    common = {"memory": f"{mib}MiB", "kernel_mib": 2, "boot": _BOOT, "heap": HEAP}
    return {"name": name, "workload": workload, "disk": disk, **common, **options}


def _run(bench: Bench, load: Load, policy: Data) -> Result:
    seconds, pause = (round(value / _scale(bench)) for value in (load.seconds, load.rests))
    rested = [group | {"events": [{"at": f"{pause}s", "do": "pause"}]} for group in load.groups]
    return bench.run(scenario(f"settled-{load.kind}", seconds, policy, rested))


EXPERIMENTS = (
    Experiment(
        "de-techniques",
        "Difference Engine: sharing, patching, compression",
        "difference_engine_settled",
        "Guests of 48 MiB in place of 512 MB, seconds in the same proportion, on generated disks: four alike with "
        "dbench, which fills its files with one byte, deletes them and leaves free memory as it was; and a web server "
        "with database and two builders on three unlike disks in place of MIXED-1. Then they rest, as the paper's do "
        "before its figures at the end; 10,000 pages a second, and as many pages to one signature as there. Memory is "
        "all there from the start, as zeros, as Xen gives it. Less fair: how much of memory a system of the time "
        "takes after its boot is our estimate. Contents of disks and heaps are generated, and what they save by "
        "patches and compression is theirs; half of a heap page is zeros on average, and so packs to a third, as "
        "pages of real processes do, and of a program's first pages 35 % are like another process's but for a quarter "
        "of their bytes.",
        settled,
    ),
)
