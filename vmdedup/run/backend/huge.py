"""Huge pages of an emulated host: who puts them together, and what a row of the series tells of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from vmdedup.host.census import count_huge
from vmdedup.host.layout import CTL_THP, CTL_THP_COLLAPSE_ALLOC, CTL_THP_FAULT_ALLOC, CTL_THP_SPLIT_PAGE
from vmdedup.host.memory import Host
from vmdedup.host.thp import THP_ALWAYS, THP_MADVISE
from vmdedup.late import load
from vmdedup.scenario.model import HostSection

if TYPE_CHECKING:
    from vmdedup.host.khugepaged import Khugepaged

_MILLISECOND: Final = 1_000_000  # ns
_MODES: Final = {"always": THP_ALWAYS, "madvise": THP_MADVISE}


class HugePages:
    """A host's huge pages, and its khugepaged."""

    def __init__(self, host: Host, section: HostSection) -> None:
        """Have huge pages on a host from now on, as its section says."""
        self._host, self._h = host, host.arrays
        self._h.ctl[CTL_THP] = _MODES[section.huge_pages]
        self._tunables = section.khugepaged
        self._khugepaged: Khugepaged | None = None  # until it wakes for the first time
        self._passed = 0

    def pass_time(self, nanoseconds: int) -> None:
        """Let khugepaged have that time."""
        self._passed += nanoseconds
        if self._khugepaged is None:
            if self._passed < self._tunables.scan_sleep_millisecs * _MILLISECOND:
                return
            self._khugepaged = load("vmdedup.host.khugepaged:Khugepaged")(self._host, self._tunables.model_dump())
        milliseconds, self._passed = divmod(self._passed, _MILLISECOND)
        self._khugepaged.run(milliseconds)

    def figures(self) -> Mapping[str, int]:
        """Columns of result.columns. Exact while nobody runs."""
        counts = np.zeros(3, np.int64)
        count_huge(self._h, counts)
        ctl = self._h.ctl
        return {
            "split_zero_pages": int(counts[1]),
            "huge_pages": int(counts[0]),
            "thp_fault_alloc": int(ctl[CTL_THP_FAULT_ALLOC]),
            "thp_collapse_alloc": int(ctl[CTL_THP_COLLAPSE_ALLOC]),
            "thp_split_page": int(ctl[CTL_THP_SPLIT_PAGE]),
            "needless_pages": int(counts[2]),
        }
