"""What all mobile policies have in common: address spaces, records, their bill, their counters."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

from vmdedup.host.memory import Host
from vmdedup.policy.base import Policy
from vmdedup.policy.figures import shared_pages
from vmdedup.policy.mobile.areas import Area, areas_of
from vmdedup.policy.mobile.packing import FormPacking
from vmdedup.policy.mobile.records import (
    ABSENT,
    COMPARED,
    HASHED,
    LOOKUPS,
    ROUND,
    SHARED_NOW,
    SKIPPED,
    SPARED,
    TAKEN,
    VISITED,
    WRITTEN,
    ZEROS,
    forget_pages,
    make_records,
)
from vmdedup.policy.storage import storage_figures
from vmdedup.policy.work import LOOKUP

_TOTALS = {"pages_hashed": HASHED, "pages_skipped": SKIPPED, "pages_written": WRITTEN, "hashes_spared": SPARED}


class MobilePolicy(Policy):
    """Visits portions of areas; what is left over there may be kept in another form."""

    def __init__(self, host: Host, seed: int = 0) -> None:
        super().__init__(host, seed)
        self._mms: list[int] = []
        self._records = make_records(host)
        self._packing = FormPacking(host, self.work)
        self._scanned = 0
        self._rounds = 0
        self._totals = dict.fromkeys(_TOTALS, 0)
        self._records.settings[ROUND] = 1

    def enter(self, mm: int) -> None:
        """Its areas are seen from now on."""
        if mm not in self._mms:
            self._mms.append(mm)

    def exit(self, mm: int) -> None:
        """Its pages are forgotten; bases of others' differences stay as long as those do."""
        if mm in self._mms:
            self._mms.remove(mm)
        record = self.host.arrays.mms[mm]
        forget_pages(self._records, int(record["first"]), int(record["pages"]))
        self.host.release(mm)

    def areas(self) -> Iterator[Area]:
        """What there is to be scanned now."""
        return areas_of(self.host, self._mms)

    def scan(self, pages: int) -> int:
        """Visit up to so many pages."""
        self._records.found[:] = 0
        looked = self._scan(pages)
        self._bill()
        self._scanned += looked
        return looked

    @abstractmethod
    def _scan(self, pages: int) -> int:
        """Visit up to so many pages. Returns how many."""

    def _bill(self) -> None:
        found, page = self._records.found.tolist(), self.host.page_size
        self.work.count_visits(found[VISITED], found[ABSENT])
        self.work.count("hash_byte", found[HASHED] * page)
        self.work.count("compare_byte", found[COMPARED] * page)
        self.work.count("hash_step", LOOKUP * found[LOOKUPS])
        self.work.count("merge", found[SHARED_NOW] + found[TAKEN])
        self.work.count("zero_merge", found[ZEROS])
        for name, word in _TOTALS.items():
            self._totals[name] += found[word]

    def counters(self) -> dict[str, int]:
        """KSM's names where they fit; what is kept in which form, in how many bytes."""
        shared, sharing = shared_pages(self.host)
        return {
            "full_scans": self._rounds,
            "pages_scanned": self._scanned,
            "pages_shared": shared,
            "pages_sharing": sharing,
            "ksm_zero_pages": int(self.host.arrays.mms["zero_pages"].sum()),
            **self._totals,
            **(storage_figures(self.host) if self.below_page else {}),
            **({f"total_{name}": times for name, times in self._packing.done.items()} if self.below_page else {}),
        }

    def check(self) -> None:
        """The host, and that storage knows where everything lies."""
        super().check()
        self._packing.storage.check()
