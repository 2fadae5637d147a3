"""Guests at work for Difference Engine's experiments, as groups of a scenario.

Ours are smaller than the paper's. Two ways to make that fair: `slow` guests do as much less a second as they are
smaller, and are scanned so much more slowly, so that all times are the paper's; or everything goes at its own rate, and
all times are as much shorter, the engine's least time between two passes, too. Shares of memory are the same by
themselves. Linux leaves what a freed page holds, Windows clears it.
"""

from __future__ import annotations

from math import log2
from typing import Any, Final

from vmdedup.guest.workloads import workload_parameters
from vmdedup.papers.bench.runs import Data, generated

MIB: Final = 32
ALIKE_SCALE: Final = MIB / 256  # of a guest to the paper's
UNLIKE_SCALE: Final = MIB / 512
BATCH: Final = 200  # pages every 20 ms: the paper's 10,000 a second
SCAN_INTERVAL_MS: Final = 4000  # the engine's, as published
SIGNATURE_BITS: Final = 18
# lz4 packs such pages to 37 % on average; private pages of Python and Perl processes it packed to 31 to 36 %. Of a
# program's first pages 35 % are like another process's, as pages are that hold addresses: our estimate.
HEAP: Final = {"zero_tail": 0.5, "similar": 0.35}
# What systems of the time have in memory after their boot, of 256 and of 512 MB: our estimate. All memory is there from
# power-on, as Xen gives it, zeros to be found as any other pages.
ALIKE_BOOT: Final = {"cache_share": 0.24, "heap_share": 0.10, "scrubbed": True}
UNLIKE_BOOT: Final = {"cache_share": 0.12, "heap_share": 0.05, "scrubbed": True}
# ESX as the paper ran it, and as it did run: it kept silently to 450 pages a second of each guest (CACM 2010).
ESX: Final = {"name": "esx", "tunables": {"host_pages_per_second": 10_000, "vm_pages_per_second": 450}}
MIXED: Final = ("webdb", "build", "fileserver")
_A_SECOND: Final = ("MiB/s", "1/s")


def engine(memory: float = 1.0, time: float = 1.0, **tunables: int) -> Data:
    """Difference Engine on memory and with times that are such a part of the paper's.

    Least time between two passes is scaled, and signatures' bits, so that as many pages come to one.
    """
    tunables["scan_interval_millisecs"] = round(SCAN_INTERVAL_MS * time)
    tunables["detector_bits"] = SIGNATURE_BITS + round(log2(memory))
    return {"name": "difference_engine", "tunables": tunables}


def group(name: str, workload: str, disk: Data, mib: int = MIB, slow: float = 1.0, **options: Any) -> Data:
    """A group of guests whose workload does so much of what it does by default in a second."""
    return {
        "name": name,
        "memory": f"{mib}MiB",
        "kernel_mib": 2,
        "workload": workload,
        "parameters": scaled_rates(workload, slow) if slow != 1 else {},
        "disk": disk,
        "heap": HEAP,
        **options,
    }


def scaled_rates(workload: str, scale: float) -> dict[str, float]:
    """A workload's parameters that are so much a second, by default, scaled."""
    declared = workload_parameters(workload).items()
    return {name: float(each.default) * scale for name, each in declared if each.unit in _A_SECOND}


def alike(count: int, workload: str = "webdb", mib: int = MIB, slow: float = 1.0) -> list[Data]:
    """Guests that do the same from one disk."""
    return [group("alike", workload, generated(64), mib, slow, count=count, boot=ALIKE_BOOT)]


def unlike(loads: tuple[str, ...] = MIXED, mib: int = MIB, slow: float = 1.0) -> list[Data]:
    """Three guests, each with another load from another disk, in place of Windows XP, Debian and Slackware."""
    frees = ("zero_on_free", "left", "left")
    return [
        group(f"mixed{number}", load, generated(64, number), mib, slow, free_pages=free, boot=UNLIKE_BOOT)
        for number, (load, free) in enumerate(zip(loads, frees, strict=True))
    ]
