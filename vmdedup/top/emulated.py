"""A look at an emulated host, asked of its run between two ticks."""

from __future__ import annotations

import time
from typing import cast

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.layout import FRAME_MASK, FRAME_SHIFT, PRESENT, WHOLE
from vmdedup.host.memory import Host
from vmdedup.host.thp import HUGE_PAGES
from vmdedup.run.backend.emulator import Emulator
from vmdedup.run.clock.desk import Desk
from vmdedup.run.emulation import Emulation
from vmdedup.top.frames import common_frames
from vmdedup.top.moment import Moment, Seen
from vmdedup.units import SECOND_NS

EMULATED = "emulated"


class EmulatedTop:
    """Looks at one run."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def __call__(self) -> Moment:
        """Now. VmdedupError: the run is over."""
        return self._desk.ask(_moment)


def _moment(emulation: Emulation) -> Moment:
    began = time.thread_time()
    backend, ksmd = cast(Emulator, emulation.backend), emulation.ksmd
    further, counters = backend.further(), ksmd.counters()
    knobs = {name: ksmd.get(name) for name in ksmd.kind.all_tunables()}
    frames, guests = {}, []
    for resident in emulation.residents():
        if resident.is_present and resident.stat is not None:
            found, huge = _pages(backend.host, resident.number)
            frames[resident.name] = found
            zero, merged = resident.stat["ksm_zero_pages"], resident.stat["ksm_merging_pages"]
            profit = resident.stat["ksm_process_profit"]
            guests.append(Seen(resident.name, resident.memory_pages, len(found), merged, zero, profit, huge))
    pairs, sample = common_frames(frames)
    split: dict[str, int] = {
        str(name): int(further[name]) for name in ("huge_pages", "thp_split_page") if name in further
    }
    return Moment(
        emulation.now / SECOND_NS,
        EMULATED,
        {**knobs, **counters},
        ksmd.bill_ns / SECOND_NS,
        guests,
        pairs,
        sample,
        split,
        int(further["split_zero_pages"]) if "split_zero_pages" in further else None,
        time.thread_time() - began,
    )


def _pages(host: Host, mm: int) -> tuple[NDArray[np.int64], int]:
    """The frames that an address space maps, but for the zero page, and how many whole huge pages it has."""
    first, pages = int(host.arrays.mms[mm]["first"]), int(host.arrays.mms[mm]["pages"])
    entries = host.arrays.pte[first : first + pages]
    present = entries[(entries & PRESENT) != 0]
    frames = (present >> FRAME_SHIFT) & FRAME_MASK
    own = frames != 0
    return frames[own], int(np.count_nonzero(own & ((present & WHOLE) != 0))) // HUGE_PAGES
