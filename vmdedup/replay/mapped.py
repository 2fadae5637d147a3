"""What an emulated process's pages are mapped by, and how much its mapping takes: as /proc tells of a real one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from vmdedup.host.layout import (
    CACHED_SHIFT,
    COUNT_MASK,
    CTL_KSM_SWPIN_COPY,
    CTL_PSWPIN,
    CTL_PSWPOUT,
    CTL_THP_COLLAPSE_ALLOC,
    CTL_THP_FAULT_ALLOC,
    CTL_THP_FAULT_FALLBACK,
    CTL_THP_SPLIT_PAGE,
    CTL_THP_SPLIT_PAGE_FAILED,
    CTL_THP_SPLIT_PMD,
    FRAME_MASK,
    FRAME_SHIFT,
    NODE_SHIFT,
    PRESENT,
    SWAPPED,
    WHOLE,
)
from vmdedup.host.memory import Host
from vmdedup.host.rebuild import kind_of_all
from vmdedup.host.space import Memory
from vmdedup.host.thp import HUGE_PAGES
from vmdedup.ksm.profile import Profile
from vmdedup.units import PAGE_SIZE

KIB: Final = PAGE_SIZE // 1024
_PSS_SHIFT: Final = 12  # shares are counted in parts of a byte
# Counters of /proc/vmstat that `mem` shows, in its order, and what counts them here; None: nothing does.
VMSTAT: Final[Mapping[str, int | str | None]] = {
    "cow_ksm": "cow_ksm",
    "ksm_swpin_copy": CTL_KSM_SWPIN_COPY,
    "pswpin": CTL_PSWPIN,
    "pswpout": CTL_PSWPOUT,
    "pgmigrate_success": None,
    "pgmigrate_fail": None,
    "thp_fault_alloc": CTL_THP_FAULT_ALLOC,
    "thp_fault_fallback": CTL_THP_FAULT_FALLBACK,
    "thp_collapse_alloc": CTL_THP_COLLAPSE_ALLOC,
    "thp_split_page": CTL_THP_SPLIT_PAGE,
    "thp_split_page_failed": CTL_THP_SPLIT_PAGE_FAILED,
    "thp_deferred_split_page": None,
    "thp_underused_split_page": None,
    "thp_split_pmd": CTL_THP_SPLIT_PMD,
    "thp_swpout": "swap",
    "thp_swpout_fallback": "swap",
    "thp_migration_success": None,
    "thp_migration_split": None,
}


class Mapped:
    """A mapping's entries and what is behind them, as of now."""

    def __init__(self, memory: Memory) -> None:
        self._h = memory.host.arrays
        self.entries = memory.entries.copy()
        self.present = (self.entries & PRESENT) != 0
        self.frames = np.where(self.present, (self.entries >> FRAME_SHIFT) & FRAME_MASK, 0)
        self.own = self.frames != 0
        self.ksm = self.own & (self._h.frames[self.frames] >> NODE_SHIFT != 0)
        self.swapped = kind_of_all(self.entries) == SWAPPED

    def kinds(self, tells_ksm: bool) -> str:
        """A letter a page, see replay.machine. tells_ksm: whether KSM pages are told from other anonymous ones."""
        letters = np.full(len(self.entries), ".")
        letters[self.swapped] = "s"
        whole = (self.entries & WHOLE) != 0
        letters[self.present] = np.where(whole[self.present], "Z", "z")
        letters[self.own] = "a" if tells_ksm else "p"
        letters[self.own & (self._h.folios[self.frames] != 0)] = "h"
        letters[self.ksm] = "k" if tells_ksm else "p"
        return "".join(letters.tolist())

    def kib(self) -> dict[str, int]:
        """As /proc/PID/smaps has it."""
        resident = int(self.own.sum()) * KIB
        own = self.frames[self.own]
        mapped = (self._h.frames[own] & COUNT_MASK) - (self._h.kept[own] >> CACHED_SHIFT > 0)  # the cache maps nothing
        shares = (PAGE_SIZE << _PSS_SHIFT) // mapped
        whole = self.own & ((self.entries & WHOLE) != 0)
        return {
            "Rss": resident,
            "Pss": int(shares.sum()) >> _PSS_SHIFT >> 10,
            "Anonymous": resident,
            "AnonHugePages": int(whole.sum()) // HUGE_PAGES * HUGE_PAGES * KIB,
            "KSM": int(self.ksm.sum()) * KIB,
            "Swap": int(self.swapped.sum()) * KIB,
        }


def vmstat(host: Host, profile: Profile, cow_ksm: int) -> dict[str, int | None]:
    """Counters of /proc/vmstat since the host was made; None: this version has none, or nothing counts it here.

    cow_ksm: of all processes, those that have exited too. Huge pages are not swapped as a whole: they are split.
    """
    values: dict[str, int | None] = {}
    for name, source in VMSTAT.items():
        if isinstance(source, int):
            values[name] = int(host.arrays.ctl[source])
        else:
            values[name] = {"cow_ksm": cow_ksm, "swap": 0}.get(source or "")
        if not profile.has(name):
            values[name] = None
    return values


def smaps(memory: Memory, profile: Profile) -> dict[str, Any]:
    """The figures of a mapping; None: this version has no such line."""
    return {name: value if profile.has(name) else None for name, value in Mapped(memory).kib().items()}
