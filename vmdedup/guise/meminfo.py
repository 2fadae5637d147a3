"""/proc/meminfo of an emulated host, as far as it has what the lines tell; as long at every moment.

Nothing is cached there, so what is free is available. Source: fs/proc/meminfo.c, for names, order and widths.
"""

from __future__ import annotations

from vmdedup.host.layout import CTL_SWAP, SWAP_OFF
from vmdedup.host.memory import Host
from vmdedup.late import load
from vmdedup.policy.controllers.readings import PAGE_KIB, read_host


def meminfo(host: Host) -> str:
    """The file's text. Exact while nobody runs."""
    read = read_host(host)
    size, used = _swap(host)
    values = {
        "MemTotal": read.total,
        "MemFree": read.free,
        "MemAvailable": read.free,
        "Buffers": 0,
        "Cached": 0,
        "SwapCached": 0,
        "SwapTotal": size,
        "SwapFree": size - used,
        "Dirty": 0,
        "Writeback": 0,
        "AnonPages": read.resident,
        "Mapped": 0,
        "Shmem": 0,
        "Slab": 0,
        "SReclaimable": 0,
        "SUnreclaim": 0,
    }
    return "".join(f"{name + ':':<16}{value:8d} kB\n" for name, value in values.items())


def _swap(host: Host) -> tuple[int, int]:
    """KiB that the swap device can have, and that it has."""
    if int(host.arrays.ctl[CTL_SWAP]) == SWAP_OFF:
        return 0, 0
    figures = load("vmdedup.host.swap:swap_figures")(host)
    return int(figures.size) * PAGE_KIB, int(figures.records) * PAGE_KIB
