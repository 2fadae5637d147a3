"""Sharing of empty pages alone: nothing is learnt from it but that a page is empty."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.memory import Host
from vmdedup.policy.base import Policy
from vmdedup.policy.tenancy.zeros import EMPTY, FOUND, JOINED, LOOKED, share_zeros
from vmdedup.policy.walk import Walk
from vmdedup.policy.work import CACHE_LINE


class ZeroOnly(Policy):
    """Maps empty pages to the zero page, and shares nothing else; guests one after the other, round and round."""

    name: ClassVar[str] = "zero_only"
    source: ClassVar[str] = "Linux 6.18, mm/ksm.c, use_zero_pages, without the rest"
    leaks: ClassVar[str] = (
        "nothing by the time of writes and reads, nor by room left. By pace of merging, of empty pages, how much "
        "memory others have (4.04 of 10.81 bits). `vmdedup leak --policy zero_only`"
    )

    def __init__(self, host: Host, seed: int = 0) -> None:
        super().__init__(host, seed)
        self._walk = Walk(host)
        self._scanned = 0

    def enter(self, mm: int) -> None:
        """Its pages are looked at after those of all that are here."""
        self._walk.enter(mm)

    def exit(self, mm: int) -> None:
        """Its record may be used again."""
        self._walk.leave(mm)
        self.host.release(mm)

    def scan(self, pages: int) -> int:
        """Look at so many pages that have a frame; fewer at the end of a round."""
        looked, rounds = 0, self._walk.rounds
        while looked < pages and self._walk.rounds == rounds:
            _, entries = self._walk.next(pages - looked)
            if not len(entries):
                break
            looked += self._look(entries)
        self._scanned += looked
        return looked

    def _look(self, entries: NDArray[np.int64]) -> int:
        """Share what is empty. Returns how many pages have a frame."""
        found = np.zeros(FOUND, np.int64)
        share_zeros(self.host.arrays, entries, found)
        looked, empty = int(found[LOOKED]), int(found[EMPTY])
        self.work.count_visits(len(entries), len(entries) - looked)
        # Of a page that is not empty its first line tells, mostly.
        self.work.count("compare_byte", empty * self.host.stands_for + (looked - empty) * CACHE_LINE)
        self.work.count("zero_merge", int(found[JOINED]))
        return looked

    def counters(self) -> dict[str, int]:
        """KSM's names; no frame is shared but the zero page."""
        return {
            "full_scans": self._walk.rounds,
            "pages_scanned": self._scanned,
            "pages_shared": 0,
            "pages_sharing": 0,
            "ksm_zero_pages": int(self.host.arrays.mms["zero_pages"].sum()),
        }
