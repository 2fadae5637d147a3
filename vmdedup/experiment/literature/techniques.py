"""Difference Engine's savings by technique, on guests that are alike and on others. OSDI 2008, section 5.4.

Settled: guests have worked, then rest, and the engine has had several cycles of its five passes.
"""

from __future__ import annotations

from typing import Any, Final

from vmdedup.experiment.literature.base import Bench, Curve, Experiment, Finding
from vmdedup.experiment.literature.figures import Published
from vmdedup.experiment.literature.identical_guests import NO_LIMIT
from vmdedup.experiment.literature.runs import PAGES_PER_MIB, Data, column, generated, last, scenario
from vmdedup.experiment.literature.verdict import Row
from vmdedup.result.run import Result

MIB: Final = 48
ENGINE: Final = {"name": "difference_engine"}
ESX: Final = {"name": "esx", "tunables": NO_LIMIT}
_SHARED: Final = ("zero_pages", "within_guest_pages", "between_guests_pages")


def settled(bench: Bench, published: Published) -> Finding:
    """Both scenarios under Difference Engine and ESX. Per cent of the guests' memory, as the paper has it."""
    rows: list[Row] = []
    curves: list[Curve] = []
    notes = ["Storage is taken off what patches and compression save. ESX without its limits of pages a second."]
    for kind, groups in (("homogeneous", _alike()), ("mixed", _unlike())):
        pages = sum(group.get("count", 1) for group in groups) * MIB * PAGES_PER_MIB
        engine, esx = (_run(bench, kind, policy, groups) for policy in (ENGINE, ESX))
        ours = _split(engine, pages) | {"esx": _saved(esx, pages)[-1]}
        claims = _claims(kind, ours)
        for name, value in ours.items():
            paper = published.levels[f"{kind}_{name}_percent"]
            rows.append(Row(f"{kind}: {name}", "%", paper, value, 5.0, *claims[name]))
        for name, result in (("Difference Engine", engine), ("ESX", esx)):
            curves.append(Curve(f"{kind}, {name}", column(result, "time_s"), _saved(result, pages)))
        notes.append(_keeps_from_more(kind, engine, pages))
    return Finding(rows, " ".join(notes), ("time, s", "saved, % of memory"), curves)


def _split(result: Result, pages: int) -> dict[str, float]:
    """Saved at the end, per cent of so many pages, by technique and in all."""
    saved = {
        "shared": sum(last(result, name) for name in _SHARED) + pages - last(result, "allocated_pages"),
        "patched": last(result, "patch_saved_pages"),
        "compressed": last(result, "compress_saved_pages"),
    }
    return {name: 100 * value / pages for name, value in saved.items()} | {"saved": _saved(result, pages)[-1]}


def _saved(result: Result, pages: int) -> list[float]:
    """Per cent of so many pages that take no frame. Xen gives a guest all its frames, so untouched pages count, too."""
    return [100 * (1 - used / pages) for used in column(result, "used_pages")]


def _keeps_from_more(kind: str, result: Result, pages: int) -> str:
    """What exact sharing of whole pages would save at the end, and how much of memory is zero."""
    untouched = pages - last(result, "allocated_pages")
    whole = 100 * (untouched + last(result, "possible_pages")) / pages
    zero = 100 * (untouched + last(result, "zero_pages")) / pages
    return (
        f"{kind.capitalize()}: exact sharing of whole pages would save {whole:.1f} %, {zero:.1f} % being zero pages; "
        "what is not zero saves at most 1 - 1/n in n guests."
    )


def _claims(kind: str, ours: dict[str, float]) -> dict[str, tuple[str, bool]]:
    """The paper's orderings, and whether ours has them."""
    order = "sharing > patching > compression", ours["shared"] > ours["patched"] > ours["compressed"]
    above = "Difference Engine saves more than ESX", ours["saved"] > ours["esx"]
    return {"shared": order, "patched": order, "compressed": order, "saved": above, "esx": above}


def _alike() -> list[Data]:
    return [_group("alike", "idle", generated(64), count=4)]


def _unlike() -> list[Data]:
    """Three releases, each with another load."""
    loads = ("webdb", "build", "fileserver")
    return [_group(f"mixed{number}", load, generated(64, number)) for number, load in enumerate(loads)]


def _group(name: str, workload: str, disk: Data, **options: Any) -> Data:
    common = {"memory": f"{MIB}MiB", "kernel_mib": 2, "free_pages": "zero_on_free"}
    return {"name": name, "workload": workload, "disk": disk, **common, **options}


def _run(bench: Bench, kind: str, policy: Data, groups: list[Data]) -> Result:
    seconds, pause = (40, 8) if bench.quick else (110, 40)
    rested = [group | {"events": [{"at": f"{pause}s", "do": "pause"}]} for group in groups]
    return bench.run(scenario(f"settled-{kind}", seconds, policy, rested))


EXPERIMENTS = (
    Experiment(
        "de-techniques",
        "Difference Engine: sharing, patching, compression",
        "difference_engine_settled",
        "Guests of 48 MiB on generated disks: four alike that are idle after their boot, in place of four guests "
        "after dbench, which deletes its files, so that page cache and free memory are left; and a web server with "
        "database, a builder and a file server on three unlike disks in place of MIXED-1. They live for 40 s and then "
        "rest, as the paper's do before its figures at the end; 10,000 pages a second and 4 s between visits, as "
        "there. Memory that was never touched counts as zero pages shared: under Xen it is that. Less fair: contents "
        "of generated disks and heaps are synthetic, and what they save by patches and compression is theirs.",
        settled,
    ),
)
