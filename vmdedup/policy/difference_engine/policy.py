"""Difference Engine as a policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import KnobError
from vmdedup.host.layout import SWAPPED
from vmdedup.host.memory import Host
from vmdedup.ksm.sysfs import Tunable
from vmdedup.policy.base import Policy
from vmdedup.policy.difference_engine.packing import IdlePacking
from vmdedup.policy.difference_engine.records import (
    ABSENT,
    COMPARED,
    FULL,
    HASHED,
    LOOKUPS,
    PASS,
    ROWS,
    SHARED_NOW,
    SIGNED,
    STALE,
    TAKEN,
    ZEROS,
    forget_entries,
    make_records,
    settings_of,
)
from vmdedup.policy.difference_engine.swapping import Swap
from vmdedup.policy.difference_engine.tunables import TUNABLES
from vmdedup.policy.difference_engine.turns import Turns
from vmdedup.policy.difference_engine.visit import visit_runs
from vmdedup.policy.figures import shared_pages
from vmdedup.policy.storage import storage_figures
from vmdedup.policy.work import LOOKUP
from vmdedup.subpage.detector import BLOCK

# What records are made of: to change these is to begin anew.
_SHAPES = ("portion", "hash_intervals", "detector_k", "detector_s", "detector_c", "detector_bits")


class DifferenceEngine(Policy):
    """Shares, patches, compresses and swaps, each page by what the clock says of it."""

    name: ClassVar[str] = "difference_engine"
    source: ClassVar[str] = "Gupta et al., Difference Engine, OSDI 2008"
    tunables: ClassVar[Mapping[str, Tunable]] = TUNABLES
    below_page: ClassVar[bool] = True
    needs_swap: ClassVar[bool] = True

    def __init__(self, host: Host, seed: int = 0) -> None:
        super().__init__(host, seed)
        self._turns = Turns(host)
        self._packing = IdlePacking(host, self._knobs, self.work)
        self._swap = Swap(host, self._knobs, self._packing, self.work)
        self._totals = {"stale_hashes": 0, "table_full": 0}
        self._scanned = 0
        self._passes = 0
        self._cycles = 0
        self._in_pass = False
        self._earliest_ms = 0  # when the next pass may begin
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._records = make_records(self.host, self._knobs, self.seed)
        self._pass = 0  # of the cycle

    # Guests

    def enter(self, mm: int) -> None:
        """It has its turn in this pass already."""
        self._turns.enter(mm)

    def exit(self, mm: int) -> None:
        """What is known of its pages is forgotten; patches of others that refer to its pages keep those frames."""
        self._turns.leave(mm)
        record = self.host.arrays.mms[mm]
        forget_entries(self._records, int(record["first"]), int(record["pages"]))
        self.host.release(mm)

    # Work

    def scan(self, pages: int) -> int:
        """Go on with the pass, or begin the next one if enough time has gone by."""
        looked = 0
        while looked < pages and (self._in_pass or self._begin_pass()):
            looked += self._visit(self._turns.take(pages - looked, self._knobs["portion"]))
            if self._turns.is_over():
                self._end_pass()
        self._scanned += looked
        self._swap.balance(self._records)
        return looked

    def _visit(self, runs: NDArray[np.int64]) -> int:
        """Visit portions of memory; after each, keep in other forms what it asks for. Returns pages visited."""
        records, done = self._records, 0
        records.found[:] = 0
        while done < len(runs):
            done = int(visit_runs(self.host.arrays, records, runs, done))
            rows = int(records.found[ROWS])
            if rows:
                self._packing.run(records, rows)
        count = int(runs[:, 1].sum())
        self._count_work(count)
        return count

    def _count_work(self, count: int) -> None:
        found, page = self._records.found, self.host.page_size
        block = BLOCK * self._knobs["detector_k"] * self._knobs["detector_s"]
        self.work.count_visits(count, int(found[ABSENT]))
        self.work.count("hash_step", LOOKUP * int(found[LOOKUPS]))
        self.work.count("hash_byte", int(found[HASHED]) * page + int(found[SIGNED]) * block)
        self.work.count("compare_byte", int(found[COMPARED]) * page)
        self.work.count("merge", int(found[SHARED_NOW] + found[TAKEN]))
        self.work.count("zero_merge", int(found[ZEROS]))
        self._totals["stale_hashes"] += int(found[STALE])
        self._totals["table_full"] += int(found[FULL])

    def _begin_pass(self) -> bool:
        """Begin a pass. False: the last one began too short a time ago, or nobody is there."""
        if self.now_ms < self._earliest_ms or not self._turns.anybody():
            return False
        self._earliest_ms = self.now_ms + self._knobs["scan_interval_millisecs"]
        self._turns.restart()
        self._records.table[:] = 0
        self._records.settings[PASS] = self._pass
        self._in_pass = True
        return True

    def _end_pass(self) -> None:
        self._in_pass = False
        self._passes += 1
        self._pass += 1
        if self._pass == self._knobs["hash_intervals"]:
            self._pass = 0
            self._cycles += 1
            self._records.similar[:] = 0
            self._packing.compact()

    # Tunables

    def set(self, knob: str, text: str) -> None:
        """Write a tunable. The detector's, when they change, make the engine forget what it knows of pages."""
        before = self._knobs.get(knob)
        super().set(knob, text)
        if knob == "swap_high" and self._knobs[knob] and not len(self.host.arrays.swap):
            self._knobs[knob] = 0
            raise KnobError(knob, text, "EINVAL")
        if knob in _SHAPES and self._knobs[knob] != before:
            self._begin_anew()
        settings = settings_of(self.host, self._knobs)
        settings[PASS] = self._records.settings[PASS]
        self._records.settings[:] = settings

    # Figures

    def counters(self) -> dict[str, int]:
        """KSM's names where they fit; what is kept in which form, in how many bytes; pages by state of the clock."""
        shared, sharing = shared_pages(self.host)
        stored = storage_figures(self.host)
        kinds = self.host.kinds().sum(axis=0)
        states = np.bincount(self._records.state, minlength=5)
        return {
            "full_scans": self._passes,
            "sharing_cycles": self._cycles,
            "pages_scanned": self._scanned,
            "pages_shared": shared,
            "pages_sharing": sharing,
            "ksm_zero_pages": int(self.host.arrays.mms["zero_pages"].sum()),
            **stored,
            "patch_bytes_average": stored["patch_bytes"] // max(1, stored["patched_pages"]),
            "swapped_pages": int(kinds[SWAPPED]),
            **{f"pages_c{state}": int(states[state]) for state in range(1, 5)},
            **{f"total_{what}": times for what, times in self._packing.done.items()},
            "total_swapped_out": self._swap.out,
            "total_rebuilt_for_swap": self._swap.rebuilt,
            **{f"total_{what}": times for what, times in self._totals.items()},
        }

    def check(self) -> None:
        """The host, and that storage knows where everything lies."""
        super().check()
        self._packing.storage.check()
