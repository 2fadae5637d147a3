"""Table 1 and figure 2 of Difference Engine: sharing and patching on memory that stands still. OSDI 2008, section 3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any

import numpy as np

from vmdedup.guest.diskspec import DiskSpec
from vmdedup.guest.spec import Variant
from vmdedup.papers.bench.base import PAPER, Bench, Curve, Dumped, Experiment, Finding
from vmdedup.papers.bench.guests import MIX
from vmdedup.papers.bench.memories import guest_memory
from vmdedup.papers.bench.verdict import Row
from vmdedup.papers.difference_engine.loads import HEAP
from vmdedup.policy.difference_engine.static import StaticMemory
from vmdedup.result.published import Published

WORKLOADS = ("database", "compile", "compile")
PARAMETERS: tuple[Mapping[str, float], ...] = (
    {"cache_share": 0.12, "heap_limit_share": 0.15, "worker_share": 0.01},
    {"starts_s": 2.0, "jobs": 2, "object_pages": 4},
    {"starts_s": 2.0, "jobs": 2, "object_pages": 4},
)
BOOT: Mapping[str, float] = {"cache_share": 0.27, "heap_share": 0.15}
FREE_PAGES = ("zero_on_free", "left", "left")
BITS = 18
PLACES = 2  # choices of places in a page for each seed
_STAND_IN = (
    "Three emulated guests, a web server with its database and two builders, each on another release of this machine's "
    "/usr (95 % of files differ, all of those shifted), or on three generated disks with --quick, in place of Windows "
    "XP, Debian 3.1 and Slackware 10.2 with RUBiS and two compilations. Fair: systems have next to no whole pages in "
    "common, as there, and bytes of files are real ones; guests have touched about as much of their 64 MiB as those of "
    "their 512 MB, and the first clears what it frees, as Windows does. Less so: heaps are synthetic, half of a page "
    "zeros on average, and 35 % of a program's first pages like another process's but for a quarter of their bytes "
    "(put in: without it chance finds most patches, and more candidates help as much as a second probe); and "
    "releases of one system are nearer to each other than Windows to Linux."
)
_ORDERS = {
    "k1_s1_c1": "(1,1) < (2,1)",
    "k2_s1_c1": "(1,1) < (2,1) ≤ (4,1)",
    "k4_s1_c1": "2 to 4 gains less than 1 to 2",
    "k1_s2_c1": "(1,2) < (1,1)",
    "k2_s2_c1": "(2,2) < (2,1)",
    "k2_s1_c2": "c adds less than k does",
    "k2_s1_c8": "c adds less than k does",
    "k2_s1_c1_32bit": "at least as much as by 18 bits",
}


@lru_cache(maxsize=3)
def mixed_memory(quick: bool, seed: int) -> StaticMemory:
    """The memory of three guests on three systems. Both experiments look at it one after the other: it is kept."""
    mib, seconds = (12, 8) if quick else (64, 20)
    parts = []
    for number, workload in enumerate(WORKLOADS):
        disk = DiskSpec(kind="generated", seed=number, mib=24) if quick else DiskSpec()
        variant = Variant() if quick else Variant(differs=0.95, shifted=1.0, seed=number)
        options = {
            "workload": workload,
            "parameters": PARAMETERS[number],
            "seed": len(WORKLOADS) * (seed - 1) + number,
            "kernel_mib": 2,
        }
        options |= {"free_pages": FREE_PAGES[number], "boot": BOOT, "heap": replace(MIX, **HEAP)}
        parts.append(guest_memory(f"mixed{number}", mib, disk, variant, seconds, **options))
    return StaticMemory(np.concatenate(parts))


@cache
def _of_dumps(dumped: Dumped) -> StaticMemory:
    return StaticMemory(dumped.pages, dumped.zeros)


def _memory(bench: Bench) -> StaticMemory:
    """What is looked at: the dumps that were given, or else three guests."""
    if bench.dumped is not None:
        return _of_dumps(bench.dumped)
    bench.say("memory of three guests")
    return mixed_memory(bench.quick, bench.seed)


def table_1(bench: Bench, published: Published) -> Finding:
    """Pages by class, and what sharing and patching save of them."""
    memory = _memory(bench)
    bench.say("similar pages")
    found = memory.savings(bits=BITS, seed=bench.seed - 1)
    percent = 100 / found.initial
    zero, copies = (found.zero - 1) * percent, (found.sharable - found.shared) * percent
    nonzero = 100 * (found.sharable - found.shared) / max(1, found.unique + found.sharable)
    patched = found.percent_patched()
    sharing = "without zero pages sharing saves less than patching"
    most = "patching adds to sharing"
    ours: dict[str, tuple[Any, ...]] = {
        "saved": (found.percent_shared() + patched, most, patched > 0),
        "by_sharing": (found.percent_shared(),),
        "by_zero": (zero, "zero pages are most of what sharing saves", zero > copies),
        "by_nonzero_sharing": (copies, sharing, copies < patched),
        "by_patching": (patched, sharing, copies < patched),
        "nonzero_sharing_of_nonzero": (nonzero,),
        "patchable_of_left": (100 * found.patchable / max(1, found.after_sharing),),
        "pages_of_patch": (100 * found.patch_pages / max(1, found.patchable),),
    }
    rows = [
        Row(name.replace("_", " "), "%", published.levels[f"{name}_percent"], *values) for name, values in ours.items()
    ]
    kinds = f"{found.zero:,} zero, {found.sharable:,} with copies, {found.unique:,} unique"
    counts = f"Pages: {found.initial:,} in all, {kinds}."
    left = f"After sharing {found.after_sharing:,} are left, after patching {found.after_patching:,}."
    mean, alone = (value / max(1, found.patchable) for value in (found.patch_bytes, 100 * found.alone))
    patches = f"A patch takes {mean:,.0f} bytes on average (the paper: 1,070); {alone:.0f} % would be small enough"
    return Finding(rows, f"{counts} {left} {patches} without their reference, as their page repeats itself.")


def figure_2(bench: Bench, published: Published) -> Finding:
    """What patching adds, by the detector's parameters; the mean of several choices of places."""
    memory = _memory(bench)
    ours: dict[str, float] = {}
    seeds = range(PLACES * (bench.seed - 1), PLACES * bench.seed)
    for name in _ORDERS:
        bench.say(f"detector {name}")
        k, s, c = (int(part[1:]) for part in name.split("_")[:3])
        bits = 32 if name.endswith("bit") else BITS
        saved = [memory.savings(k, s, c, bits, seed).percent_patched() for seed in seeds]
        ours[name] = sum(saved) / len(saved)
    holds = _orders_hold(ours)
    rows = [
        Row(_shown(name), "%", published.levels[f"{name}_percent"], ours[name], _ORDERS[name], holds[name])
        for name in _ORDERS
    ]
    names = [_shown(name).replace(" ", "\n", 1) for name in _ORDERS]
    levels = [published.levels[f"{name}_percent"].value for name in _ORDERS]
    curves = (Curve("patching", names, levels, kind=PAPER), Curve("patching", names, list(ours.values())))
    found = memory.savings(bits=BITS, seed=seeds[0])
    alone = 100 * found.alone / max(1, found.patchable)
    note = (
        f"The mean of {len(seeds)} choices of places for each seed. {alone:.0f} % of the patches by (2,1),1 would be "
        "small enough without their reference: where pages repeat themselves a candidate by chance will do, and more "
        "candidates and shorter signatures find more of them."
    )
    return Finding(rows, note, ("detector, (k,s),c", "saved by patching, % of pages"), curves)


def _orders_hold(ours: dict[str, float]) -> dict[str, bool]:
    """Which orderings of the paper ours has, too."""
    one, two, four = (ours[f"k{k}_s1_c1"] for k in (1, 2, 4))
    return {
        "k1_s1_c1": one < two,
        "k2_s1_c1": one < two <= four,
        "k4_s1_c1": four - two < two - one,
        "k1_s2_c1": ours["k1_s2_c1"] < one,
        "k2_s2_c1": ours["k2_s2_c1"] < two,
        "k2_s1_c2": abs(ours["k2_s1_c2"] - two) < two - one,
        "k2_s1_c8": abs(ours["k2_s1_c8"] - two) < two - one,
        "k2_s1_c1_32bit": ours["k2_s1_c1_32bit"] >= two,
    }


def _shown(name: str) -> str:
    k, s, c, *bits = (part.strip("kscbit") for part in name.split("_"))
    return f"({k},{s}),{c}" + (f" {bits[0]} bits" if bits else "")


EXPERIMENTS = (
    Experiment(
        "de-table1", "Difference Engine: a snapshot by class", "difference_engine_table1", _STAND_IN, table_1, True
    ),
    Experiment("de-figure2", "Difference Engine: the detector", "difference_engine_figure2", _STAND_IN, figure_2, True),
)
