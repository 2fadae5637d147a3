"""A look at this host's guests while they run: KSM's files, and who maps which frame.

Nothing is written, nobody is stopped, and no page of a guest is read: frames come from /proc/PID/pagemap, and
process_vm_readv, which would take merged pages apart, is not used.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from vmdedup.errors import EnvironmentLacksError, GuestError
from vmdedup.host.thp import HUGE_PAGES
from vmdedup.live.ksm.cpu_clock import cpu_seconds, open_cpu_clock
from vmdedup.live.ksm.ksmd import find_ksmd
from vmdedup.live.memory.guest import THP, visible_pages
from vmdedup.metrics.reading import Process, read
from vmdedup.top.frames import common_frames
from vmdedup.top.moment import Moment, Seen

REAL: Final = "real"
_HUGE: Final = ("thp_fault_alloc", "thp_collapse_alloc", "thp_split_page")


class RealTop:
    """Looks at this host. EnvironmentLacksError: no KSM, or not root."""

    def __init__(self) -> None:
        if os.geteuid() != 0:
            raise EnvironmentLacksError(
                "top of this host needs root, to see who maps what; use sudo, or name a SCENARIO"
            )
        read()
        self._clock = open_cpu_clock(find_ksmd())

    def __call__(self) -> Moment:
        """Now. Guests that end meanwhile are left out."""
        began = time.thread_time()
        reading, found, guests = read(), dict[str, NDArray[Any]](), list[Seen]()
        for process in reading.processes:
            try:
                guests.append(_seen(process, found))
            except GuestError:
                continue
        pairs, sample = common_frames(found)
        cpu = cpu_seconds(self._clock)
        took = time.thread_time() - began
        return Moment(time.monotonic(), REAL, reading.ksm, cpu, guests, pairs, sample, _huge(), took=took)


def _seen(process: Process, found: dict[str, NDArray[Any]]) -> Seen:
    """A process with merged memory; the frames that it maps there are put into found, by its name."""
    pages = visible_pages(process.pid)
    name = process.name if process.name not in found else f"{process.name} ({process.pid})"
    found[name] = pages.frames
    merged, zero = (process.stat.get(f"ksm_{kind}_pages", 0) for kind in ("merging", "zero"))
    profit, huge = process.stat.get("ksm_process_profit"), pages.count(THP) // HUGE_PAGES
    return Seen(name, pages.ram.pages, len(pages), merged, zero, profit, huge, max(0, pages.zeros - zero))


def _huge() -> dict[str, int]:
    lines = (line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    return {name: int(value) for name, value in lines if name in _HUGE}
