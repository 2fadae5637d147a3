"""What controllers read of a host, and what they write to ksmd."""

from __future__ import annotations

from dataclasses import dataclass

from vmdedup.host.layout import CTL_FRAMES, MM_LIVE
from vmdedup.host.memory import Host

PAGE_KIB = 4  # also where the emulated host keeps less than that of each page


@dataclass(frozen=True)
class Readings:
    """A host as /proc shows it, in KiB.

    total: MemTotal. free: MemFree, Buffers and Cached together; nothing is cached here, so MemAvailable is the same.
    resident: RSS of all guests' processes, for which pages that are shared count with each. virtual: their sizes.
    """

    total: int
    free: int
    resident: int
    virtual: int

    @property
    def anonymous_pages(self) -> int:
        """AnonPages, as a number of pages: what guests have mapped."""
        return self.resident // PAGE_KIB


@dataclass(frozen=True)
class Setting:
    """What is written to ksmd. None: that file is left as it is."""

    run: bool
    pages_to_scan: int | None = None
    sleep_millisecs: int | None = None


def read_host(host: Host, memory_mib: int = 0) -> Readings:
    """The host as it is now. memory_mib: how much memory it is to have had instead of its frames; 0: as it is."""
    total = memory_mib * 1024 if memory_mib else (int(host.arrays.ctl[CTL_FRAMES]) - 1) * PAGE_KIB
    records = host.arrays.mms
    pages, zero_pages = host.allocated()
    return Readings(
        total=total,
        free=max(0, total - host.frames_in_use() * PAGE_KIB),
        resident=int(pages.sum() - zero_pages.sum()) * PAGE_KIB,
        virtual=int(records["pages"][records["state"] == MM_LIVE].sum()) * PAGE_KIB,
    )
