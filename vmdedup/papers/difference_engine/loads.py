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
from vmdedup.papers.bench.runs import PAGES_PER_MIB, Data, generated

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
# ESX was told 10,000 pages a second, and kept silently to 450 of each guest (a footnote of the paper's version in CACM,
# 2010); its curves have also been read as if the 450 were the host's.
PAPERS_RATE: Final = "450 a guest"
# VMware's documents: a whole guest in Mem.ShareScanTime = 60 min, at most Mem.ShareScanGHz = 4 MB/s for each GHz, of
# which the paper left ESX one processor with 2.33, and Mem.ShareRateMax = 1,024 pages/s of a guest.
DEFAULT_RATE: Final = "VMware's defaults"
_SCAN_S, _MIB_PER_GHZ, _GHZ, _MOST = 3600, 4, 2.33, 1024
MIXED: Final = ("database", "compile", "files")
_A_SECOND: Final = ("MiB/s", "1/s")


def engine(memory: float = 1.0, time: float = 1.0, **tunables: int) -> Data:
    """Difference Engine on memory and with times that are such a part of the paper's.

    Least time between two passes is scaled, and signatures' bits, so that as many pages come to one.
    """
    tunables["scan_interval_millisecs"] = round(SCAN_INTERVAL_MS * time)
    tunables["detector_bits"] = SIGNATURE_BITS + round(log2(memory))
    return {"name": "difference_engine", "tunables": tunables}


def esx(host: int, guest: int) -> Data:
    """ESX with so many pages a second at most of all guests together, and of each; 0: no limit."""
    return {"name": "esx", "tunables": {"host_pages_per_second": host, "vm_pages_per_second": guest}}


def esx_rates(paper_mib: int) -> dict[str, Data]:
    """ESX at each rate at which it may have run on guests of so many MiB, by what the rate is called.

    Where memory and time are both scaled, a guest is scanned in as much less time by as many pages a second.
    """
    default = min(_MOST, paper_mib * PAGES_PER_MIB // _SCAN_S)
    return {
        PAPERS_RATE: esx(10_000, 450),
        "450 the host": esx(450, 0),
        DEFAULT_RATE: esx(round(_MIB_PER_GHZ * _GHZ * PAGES_PER_MIB), default),
        "10,000 the host": esx(10_000, 0),
    }


RATES_NOTE: Final = (
    "ESX's rate, in pages a second: 450 of each guest is what the paper says that its ESX kept to, and stands beside "
    "its curve; 450 of the host is how the curve may be read, too; VMware's documented defaults look at a whole guest "
    "in 60 minutes (Mem.ShareScanTime), at most at 4 MB/s for each GHz (Mem.ShareScanGHz) and at 1,024 pages of a "
    "guest (Mem.ShareRateMax); 10,000 of the host is what the paper asked for. The ratio is to ESX at 450 of each "
    "guest."
)


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


def alike(count: int, workload: str = "database", mib: int = MIB, slow: float = 1.0) -> list[Data]:
    """Guests that do the same from one disk."""
    return [group("alike", workload, generated(64), mib, slow, count=count, boot=ALIKE_BOOT)]


def unlike(loads: tuple[str, ...] = MIXED, mib: int = MIB, slow: float = 1.0) -> list[Data]:
    """Three guests, each with another load from another disk, in place of Windows XP, Debian and Slackware."""
    frees = ("zero_on_free", "left", "left")
    return [
        group(f"mixed{number}", load, generated(64, number), mib, slow, free_pages=free, boot=UNLIKE_BOOT)
        for number, (load, free) in enumerate(zip(loads, frees, strict=True))
    ]
