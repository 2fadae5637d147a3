"""Exact hashing of all memory at every moment: what whole-page sharing could save at most. The ceiling.

Whatever its budget is, a scan looks at every page that was stored to since the last one, and shares all that can be
shared; zero pages are mapped to the zero page, which costs no frame.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from vmdedup.host.memory import Host
from vmdedup.policy.base import Policy
from vmdedup.policy.digests import UNKNOWN
from vmdedup.policy.exact import ABSENT, FOUND, NEW, SPARED, TAKEN, share_everything
from vmdedup.policy.figures import shared_pages
from vmdedup.policy.work import LOOKUP


class Ideal(Policy):
    """Shares everything that is equal, at once."""

    name: ClassVar[str] = "ideal"
    source: ClassVar[str] = "the ceiling of whole-page sharing"
    keeps_budget: ClassVar[bool] = False
    is_bound: ClassVar[bool] = True

    def __init__(self, host: Host, seed: int = 0) -> None:
        super().__init__(host, seed)
        size = 1 << max(10, (2 * len(host.arrays.frames)).bit_length())
        self._table = np.zeros((size, 2), np.int64)
        self._digests = np.zeros(len(host.arrays.pte), np.int64)
        self._spared = 0
        self._scanned = 0
        self._rounds = 0
        self._stores = -1

    def enter(self, mm: int) -> None:
        """Every live address space is looked at."""

    def exit(self, mm: int) -> None:
        """Its record may be used again."""
        record = self.host.arrays.mms[mm]
        first = int(record["first"])
        self._digests[first : first + int(record["pages"])] = UNKNOWN
        self.host.release(mm)

    def scan(self, pages: int) -> int:
        """Look at everything, if anybody stored since the last time. Returns pages looked at."""
        mms = self.host.arrays.mms
        stores = int(mms["stores"].sum() + mms["faults"].sum())
        if stores == self._stores:
            return 0
        self._stores = stores
        self._table[:, 1] = 0
        found = np.zeros(FOUND, np.int64)
        looked = int(share_everything(self.host.arrays, self._table, self._digests, found))
        self.work.count("visit", looked)
        self.work.count("absent", int(found[ABSENT]))
        self.work.count("hash_step", LOOKUP * looked)
        self.work.count("hash_byte", looked * self.host.stands_for)
        self.work.count("merge", int(found[NEW] + found[TAKEN]))
        self._spared += int(found[SPARED])
        self._scanned += looked
        self._rounds += 1
        return looked

    def counters(self) -> dict[str, int]:
        """KSM's names where they fit; ksm_zero_pages are pages mapped to the zero page."""
        shared, sharing = shared_pages(self.host)
        return {
            "full_scans": self._rounds,
            "pages_scanned": self._scanned,
            "pages_shared": shared,
            "pages_sharing": sharing,
            "hashes_spared": self._spared,
            "ksm_zero_pages": int(self.host.arrays.mms["zero_pages"].sum()),
        }
