"""The policy: round after round over all guests, idle pages are guarded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.layout import COUNT_MASK, CTL_DRAW, CTL_FRAMES, GUARDED, MM_LIVE, POOL
from vmdedup.host.memory import Host
from vmdedup.host.pool import drain_pool, fill_pool
from vmdedup.host.rebuild import frames_behind, kind_of_all
from vmdedup.ksm.sysfs import Tunable
from vmdedup.policy.base import Policy
from vmdedup.policy.figures import shared_pages
from vmdedup.policy.vusion.layout import (
    ABSENT,
    BUSY,
    COMPARED,
    COPIED,
    FAKE_MERGED,
    HASHED,
    IDLE,
    MERGED,
    MOST_IDLE,
    VISITED,
    WORKING_SET,
    make_tables,
)
from vmdedup.policy.vusion.scan import adopt_pages, count_guarded, visit_pages
from vmdedup.policy.walk import Walk
from vmdedup.policy.work import LOOKUP

POOL_PART: Final = 64  # the pool is no larger than this part of host memory
_MOST_BITS: Final = POOL.bit_length() - 1
_COUNTED: Final = {
    "total_merged": MERGED,
    "total_fake_merged": FAKE_MERGED,
    "working_set_visits": WORKING_SET,
    "busy": BUSY,
}


class Vusion(Policy):
    """Every page under consideration loses all access, for reading too, whether an equal was found or not.

    Same behaviour: any access to a guarded page makes a copy of its own, so its first access takes as long whether it
    was merged or fake merged. Randomised allocation: what is guarded, and what an access makes, lies in a frame drawn
    from a pool. Pages of the working set are left alone: those used since the last visit.

    From the abstract are these three; that a page is idle after one round, the size of the pool, that the pool gives
    way when memory is short and asks for no NUMA node, and that memory is gone round as ksmd does it, are ours. There
    are no huge pages. A copy costs the same whatever becomes of the frame that it leaves; the paper has to see to that.

    What is closed: which page was merged is told by no access (`leaks`). What is not: the memory that it saves is there
    for all, so whoever counts how many pages more fit learns how many guesses were right; and as it goes round all
    memory, how soon a guest's own pages are merged tells how much the others have. The abstract, and the authors' page
    (vusec.net/projects/vusion), speak of accesses and of which frames are used again, not of these two. Room could be
    closed only by giving out none of what is saved, so nothing here tries to.
    """

    name: ClassVar[str] = "vusion"
    source: ClassVar[str] = "Oliverio, Razavi, Bos and Giuffrida, VUsion, SOSP 2017, abstract"
    leaks: ClassVar[str] = (
        "by the time of writes and reads nothing. By room left how many guesses are right, to the last (8.01 of 8.01 "
        "bits); by pace of merging how much memory others have (5.09 of 10.81 bits). `vmdedup leak --policy vusion`"
    )
    tunables: ClassVar[Mapping[str, Tunable]] = {
        tunable.name: tunable
        for tunable in (
            Tunable("idle_rounds", 1, "rounds without use until a page is idle", "rounds", low=1, high=MOST_IDLE),
            Tunable("entropy_bits", _MOST_BITS, "frames of the pool, as a power of two; 0: none", high=_MOST_BITS),
        )
    }

    def __init__(self, host: Host, seed: int = 0) -> None:
        super().__init__(host, seed)
        self._walk = Walk(host)
        self._tables = make_tables(host)
        self._billed = np.zeros_like(self._tables.found)
        host.arrays.ctl[CTL_DRAW] = seed & 0x7FFFFFFF

    # Guests

    def enter(self, mm: int) -> None:
        """Its pages are visited after those of all that are here; those guarded already are known."""
        self._walk.enter(mm)
        first, pages = self._run_of(mm)
        adopt_pages(self.host.arrays, self._tables, first, pages)

    def exit(self, mm: int) -> None:
        """Its record may be used again."""
        self._walk.leave(mm)
        first, pages = self._run_of(mm)
        self._tables.idle[first : first + pages] = 0
        self.host.release(mm)

    def _run_of(self, mm: int) -> tuple[int, int]:
        record = self.host.arrays.mms[mm]
        return int(record["first"]), int(record["pages"])

    # Work

    def scan(self, pages: int) -> int:
        """Visit so many pages; fewer at the end of a round."""
        self._see_to_pool()
        looked, rounds = 0, self._walk.rounds
        while looked < pages and self._walk.rounds == rounds:
            _, entries = self._walk.next(pages - looked)
            if not len(entries):
                break
            visit_pages(self.host.arrays, self._tables, int(entries[0]), len(entries))
            looked += len(entries)
        self._bill()
        return looked

    @property
    def _places(self) -> int:
        """Places of the pool: a power of two, as entropy_bits says, or as large as the host's memory allows."""
        most = int(self.host.arrays.ctl[CTL_FRAMES]) // POOL_PART
        bits = min(self.get("entropy_bits"), most.bit_length() - 1)
        return 1 << bits if bits > 0 else 0

    def _see_to_pool(self) -> None:
        """Fill places that are empty, unless memory is so short that guests would take them again."""
        h, places = self.host.arrays, self._places
        spare = int(h.ctl[CTL_FRAMES]) - self.host.frames_in_use()
        if (h.pool[:places] == 0).any() and spare > 2 * places:
            fill_pool(h, places)

    def _bill(self) -> None:
        """Count the work since this was last called. A copy is a page read, and its merging a page remapped."""
        done = self._tables.found - self._billed
        self._billed[:] = self._tables.found
        self.work.count_visits(int(done[VISITED]), int(done[ABSENT]))
        self.work.count("hash_step", LOOKUP * int(done[HASHED]))
        self.work.count("hash_byte", int(done[HASHED]) * self.host.stands_for)
        self.work.count("compare_byte", int(done[COMPARED] + done[COPIED]) * self.host.stands_for)
        self.work.count("merge", int(done[MERGED] + done[FAKE_MERGED]))

    # Tunables

    def set(self, knob: str, text: str) -> None:
        """Write a tunable. A pool of another size is filled anew at the next scan."""
        before = self._places
        super().set(knob, text)
        self._tables.settings[IDLE] = self.get("idle_rounds")
        if self._places != before:
            drain_pool(self.host.arrays)

    # Figures

    def counters(self) -> dict[str, int]:
        """KSM's names where they fit. fake_merged_pages: guarded, and alone in their frame; copies: made of guarded
        pages for the guests that are here."""
        mms = self.host.arrays.mms
        maps = np.zeros(len(self.host.arrays.frames), np.int32)
        for mm in np.flatnonzero(mms["state"] == MM_LIVE).tolist():
            count_guarded(self.host.arrays, *self._run_of(mm), maps)
        shared, sharing = shared_pages(self.host)
        found, fake = self._tables.found, int((maps == 1).sum())
        return {
            "full_scans": self._walk.rounds,
            "pages_scanned": int(found[VISITED]),
            "pages_shared": shared,
            "pages_sharing": sharing,
            "merged_pages": int(maps.sum()) - fake,
            "fake_merged_pages": fake,
            "copies": int(mms["cow_ksm"][mms["state"] == MM_LIVE].sum()),
            "pool_pages": int((self.host.arrays.pool != 0).sum()),
            **{name: int(found[word]) for name, word in _COUNTED.items()},
        }

    def ksm_stat(self, mm: int) -> dict[str, int]:
        """Only pages that share their frame with another are merged; fake merged ones save nothing."""
        merged = int((self._sharers(mm) > 1).sum())
        profit = merged * self.host.stands_for
        return {**super().ksm_stat(mm), "ksm_merging_pages": merged, "ksm_process_profit": profit}

    def _sharers(self, mm: int) -> NDArray[np.int64]:
        """Of each guarded page of an address space, how many have its frame."""
        entries = self.host.memory(mm).entries
        guarded = entries[kind_of_all(entries) == GUARDED]
        return self.host.arrays.frames[frames_behind(guarded)] & COUNT_MASK

    def detach(self) -> None:
        """The pool is free memory again. Guarded pages stay so until they are used."""
        drain_pool(self.host.arrays)
