"""ESX Server's page sharing as a policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from vmdedup.host.memory import Host
from vmdedup.jit.page import hash_page
from vmdedup.ksm.sysfs import Tunable
from vmdedup.policy.base import Policy
from vmdedup.policy.digests import UNKNOWN
from vmdedup.policy.esx.check import check_tables
from vmdedup.policy.esx.choice import draw_pages, total_pages
from vmdedup.policy.esx.frames import bucket_of, high_of, link, low_of, set_count
from vmdedup.policy.esx.layout import (
    ADOPTED,
    COLLISIONS,
    COMPARED,
    EVICTED,
    HASHED,
    HINTED,
    IN_USE,
    REHASHED,
    SCANNED,
    SHARED_PAGES,
    SPARED,
    STALE_HINTS,
    STALE_SHARED,
    TAKEN,
    VISITED,
    ZERO_FRAME,
    ZERO_SHARED,
    make_tables,
    table_bytes,
)
from vmdedup.policy.esx.limits import Limits
from vmdedup.policy.esx.salt import GUEST, NONE, salt_of
from vmdedup.policy.esx.scan import scan_pages
from vmdedup.policy.figures import shared_pages
from vmdedup.policy.work import LOOKUP

DRAWS = 8  # times that pages are drawn for one batch: where most are untouched, a batch stays smaller than it may be
SPARE_DRAWS = 16  # beyond the batch, so that one drawing is mostly enough
_COUNTED = {
    "pages_hashed": HASHED,
    "pages_rehashed": REHASHED,
    "hashes_spared": SPARED,
    "hints_made": HINTED,
    "hints_stale": STALE_HINTS,
    "hints_evicted": EVICTED,
    "shared_frames_stale": STALE_SHARED,
    "collisions": COLLISIONS,
    "adopted": ADOPTED,
}


class Esx(Policy):
    """Random pages, one hash table of hints and shared frames.

    A batch looks at as many pages as the schedule (or an experiment's budget) says, or as the rate limits allow by the
    clock, whichever is less. The paper also tries each page just before it is paged out; there is no paging here.
    """

    name: ClassVar[str] = "esx"
    source: ClassVar[str] = "waldspurger2002, section 4; rates: gupta2008, section 5"
    tunables: ClassVar[Mapping[str, Tunable]] = {
        tunable.name: tunable
        for tunable in (
            Tunable("host_pages_per_second", 200, "most pages a second; 0: no limit", "pages/s", high=10_000),
            Tunable("vm_pages_per_second", 450, "most pages a second of one guest; 0: no limit", "pages/s"),
            Tunable("salting", NONE, "who shares: 0 all; 1 guests of one domain; 2 each guest alone", high=GUEST),
        )
    }

    def __init__(self, host: Host, seed: int = 0) -> None:
        super().__init__(host, seed)
        self._random = np.random.default_rng(seed)
        self._mms: list[int] = []
        self._tables = make_tables(len(host.arrays.frames), len(host.arrays.pte), len(host.arrays.mms))
        self._drawn = 0  # pages scanned since the last time that they were as many as there are
        self._rounds = 0
        self._scanned = 0
        self._limits = Limits(self._tables)
        self._apply_rates()
        self._share_zero_page()

    def _share_zero_page(self) -> None:
        """The zero page's shared frame is there from the start, and stays."""
        digest = int(hash_page(self.host.arrays.words, 0))
        frame = self._tables.frames[ZERO_FRAME]
        frame["high"], frame["low"] = high_of(digest), low_of(digest)
        link(self._tables, ZERO_FRAME, bucket_of(self._tables, digest))
        self._tables.state[IN_USE] = 1
        self._count_zero_pages()

    def _count_zero_pages(self) -> None:
        """The host knows how many pages map the zero page; one more, so that its frame is never taken for a hint."""
        set_count(self._tables, ZERO_FRAME, 1 + int(self.host.arrays.mms["zero_pages"].sum()))

    def enter(self, mm: int) -> None:
        """Its pages may be drawn from now on."""
        if mm not in self._mms:
            self._mms.append(mm)
            self._limits.enter(mm)
        self._tables.salts[mm] = salt_of(self.host, mm, self.get("salting"))

    def exit(self, mm: int) -> None:
        """Hints of its pages stay; they turn out to be stale when they are hit."""
        if mm in self._mms:
            self._mms.remove(mm)
        record = self.host.arrays.mms[mm]
        first = int(record["first"])
        self._tables.digests[first : first + int(record["pages"])] = UNKNOWN
        self.host.release(mm)

    def set(self, knob: str, text: str) -> None:
        """Write a tunable; the rate limits take effect at once, salting with what is shared from now on."""
        super().set(knob, text)
        for mm in self._mms:
            self._tables.salts[mm] = salt_of(self.host, mm, self.get("salting"))
        self._apply_rates()

    def _apply_rates(self) -> None:
        self._limits.set_rates(self.get("host_pages_per_second"), self.get("vm_pages_per_second"))

    def charge(self, now_ms: int, cpu_ms: int) -> None:
        """Its clock, by which the rate limits let more pages be scanned."""
        self._limits.pass_time(max(0, now_ms - self.now_ms))
        super().charge(now_ms, cpu_ms)

    def scan(self, pages: int) -> int:
        """Scan up to so many pages, drawn at random; fewer if the limits forbid more, or few pages have a content."""
        tables, before = self._tables, self._tables.found.copy()
        self._count_zero_pages()
        scanned = 0
        for _ in range(DRAWS):
            mms = self._limits.allowed(self._mms)
            if scanned == pages or not mms or not self._limits.host_allows():
                break
            drawn = draw_pages(self.host, mms, self._random, pages - scanned + SPARE_DRAWS)
            scanned += int(scan_pages(self.host.arrays, tables, drawn, pages - scanned))
        self._count_work(tables.found - before)
        self._go_round(scanned)
        return scanned

    def _count_work(self, done: np.ndarray) -> None:
        self.work.count_visits(int(done[VISITED]), int(done[VISITED] - done[SCANNED]))
        self.work.count("hash_byte", int(done[HASHED]) * self.host.stands_for)
        self.work.count("hash_step", LOOKUP * int(done[HASHED] - done[REHASHED]))
        self.work.count("compare_byte", int(done[COMPARED]) * self.host.stands_for)
        self.work.count("merge", int(done[SHARED_PAGES] - done[ZERO_SHARED] + done[TAKEN]))
        self.work.count("zero_merge", int(done[ZERO_SHARED]))

    def _go_round(self, scanned: int) -> None:
        """A round is over when as many pages were scanned as there are; chance leaves out 37 % of them in each."""
        self._scanned += scanned
        self._drawn += scanned
        total = total_pages(self.host, self._mms)
        if total and self._drawn >= total:
            self._rounds += self._drawn // total
            self._drawn %= total

    def counters(self) -> dict[str, int]:
        """KSM's names where they fit, the hash table's use and size, and what became of hints."""
        shared, sharing = shared_pages(self.host)
        frames = self._tables.frames
        in_use, shared_frames = int(self._tables.state[IN_USE]), int((frames["count"] > 0).sum())
        counted = {name: int(self._tables.found[word]) for name, word in _COUNTED.items()}
        return {
            "full_scans": self._rounds,
            "pages_scanned": self._scanned,
            "pages_shared": shared,
            "pages_sharing": sharing,
            "ksm_zero_pages": int(self.host.arrays.mms["zero_pages"].sum()),
            "hint_frames": in_use - shared_frames,
            "shared_frames": shared_frames,
            "table_bytes": table_bytes(self._tables),
            **counted,
        }

    def check(self) -> None:
        """The hash table too: chains, counts, overflow table."""
        super().check()
        check_tables(self.host, self._tables)
