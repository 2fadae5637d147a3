"""What an operation costs, beside Difference Engine's table 2. OSDI 2008, section 5.1."""

from __future__ import annotations

from statistics import median
from typing import Final

import numpy as np

from vmdedup.guest.diskspec import DiskSpec
from vmdedup.guest.spec import Variant
from vmdedup.papers.bench.base import Bench, Experiment, Finding
from vmdedup.papers.bench.memories import guest_memory
from vmdedup.papers.bench.verdict import Row
from vmdedup.policy.difference_engine.workbench import Pages, Workbench
from vmdedup.result.published import Level, Published

PAGES: Final = 2048
# Orderings of table 2: the operation costs more than the other one.
_ABOVE: Final = {
    "cow_break": "share_page",
    "compress": "uncompress",
    "patch_page": "compress",
    "unpatch": "uncompress",
    "swap_in": "patch_page",
}
_RATIOS: Final = (("patch_page", "compress"), ("patch_page", "unpatch"), ("compress", "uncompress"))


def costs(bench: Bench, published: Published) -> Finding:
    """The median time of each operation, and the orderings and ratios of the paper's."""
    bench.say("memory of a guest")
    workbench = Workbench(_pages(bench))
    try:
        bench.say("steps")
        times = workbench.all_steps()
        alone = workbench.libraries()
    finally:
        workbench.close()
    ours = {name: median(values) for name, values in times.items()}
    rows = [Row(name, "µs", published.levels[f"{name}_us"], ours[name], *_claim(name, ours)) for name in ours]
    for above, below in _RATIOS:
        paper = Level(published.levels[f"{above}_us"].value / published.levels[f"{below}_us"].value)
        ratio = ours[above] / ours[below]
        rows.append(Row(f"{above} to {below}", "×", paper, ratio, f"{above} > {below}", ratio > 1))
    counts = ", ".join(f"{name} {len(values)}" for name, values in times.items())
    libraries = ", ".join(f"{name} {value:.1f}" for name, value in alone.items())
    return Finding(rows, f"{_NOTE} Libraries alone: {libraries} µs. Medians of so many times: {counts}.")


def _claim(name: str, ours: dict[str, float]) -> tuple[str, bool]:
    """The paper's ordering in which an operation stands, and whether ours has it."""
    if name in _ABOVE:
        return f"{name} > {_ABOVE[name]}", ours[name] > ours[_ABOVE[name]]
    return f"{name} < patch_page", ours[name] < ours["patch_page"]


def _pages(bench: Bench) -> Pages:
    """Different pages of a guest that compiles, none of them zero, in random order."""
    disk = DiskSpec(kind="generated", mib=24) if bench.quick else DiskSpec()
    mib = 12 if bench.quick else 48
    pages = np.unique(
        guest_memory("costs", mib, disk, Variant(), 8, workload="compile", kernel_mib=2, seed=bench.seed), axis=0
    )
    pages = pages[pages.any(axis=1)]
    return np.ascontiguousarray(
        np.random.default_rng(bench.seed).permutation(pages)[: PAGES // 2 if bench.quick else PAGES]
    )


_NOTE: Final = (
    "CPU time on this machine; other machines have other times. Each is one whole step as "
    "the engine or a guest does it. share_page: a visit that finds an equal page, its hash and two comparisons "
    "included, in compiled code. cow_break: a store to a shared page, in compiled code, without the trap that a "
    "processor takes. patch_page and compress: the page is protected and hashed, packed, stored, and its frame freed; "
    "patches by lz4 against the reference, pages by LZO, as the engine does by default, where the paper had xdelta. "
    "unpatch and uncompress: a guest's read, by which the page is unpacked into a new frame. These four go through "
    "Python, whose calls of compiled code are much of the cheaper ones. swap_out and swap_in: a copy to and from "
    "the swap area, which is memory: there is no disk, and the paper's 7 ms for swap_in are its disk."
)

EXPERIMENTS = (
    Experiment(
        "de-costs",
        "Difference Engine: costs of its operations",
        "difference_engine_costs",
        "Pages of a guest that compiles from this machine's /usr (from a generated disk with --quick), all different "
        "and none zero, on a host of their own. Fair: bytes are real, the steps are those of every run, and each is "
        "timed alone. Less so: it is an emulator, no hypervisor: no traps, no page tables of a processor, no disk.",
        costs,
    ),
)
