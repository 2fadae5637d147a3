"""UKSM as a policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from vmdedup.host.layout import BLOCK, BLOCK_SHIFT
from vmdedup.host.memory import Host
from vmdedup.ksm.sysfs import Tunable
from vmdedup.policy.base import Policy
from vmdedup.policy.figures import shared_pages
from vmdedup.policy.uksm.check import check_tables
from vmdedup.policy.uksm.governor import GOVERNORS, Shares
from vmdedup.policy.uksm.ladder import append_slot, forget_slot, scan_batch
from vmdedup.policy.uksm.layout import (
    ABUNDANT,
    COLLISIONS,
    COMPARE_COST,
    COMPARED,
    COWED,
    DEMOTED,
    GIVEN_UP,
    LINES,
    MERGED,
    NEGATIVE,
    NOT_ZERO,
    PAGES_HASHED,
    PAGES_MERGED,
    POSITIVE,
    PROMOTED,
    RANDOM,
    REKEYED,
    ROUNDS,
    RUNGS,
    SCANNED,
    STALE,
    STEPS,
    STRENGTH,
    TAKEN,
    THRASH,
    TO_DO,
    TOP_KNOWN,
    VISITED,
    WORDS,
    ZERO_KEY,
    ZERO_MERGED,
    make_tables,
)
from vmdedup.policy.uksm.partial import change_strength, strongest
from vmdedup.policy.uksm.stable import change_all
from vmdedup.policy.uksm.strength import Strength
from vmdedup.policy.work import CACHE_LINE

FIRST_PAGE_NS = 500  # what a page is thought to cost before any was scanned
SMOOTHING = 20  # per cent of the newest batch in the mean cost of a page
PASSES = 3  # times that what is left of a batch is divided among the rungs that have slots
WORD_BYTES = 4
_COUNTED = {
    "pages_merged": PAGES_MERGED,
    "words_hashed": WORDS,
    "pages_compared": COMPARED,
    "collisions": COLLISIONS,
    "given_up": GIVEN_UP,
    "unstable_stale": STALE,
    "pages_cowed": COWED,
    "slots_promoted": PROMOTED,
    "slots_demoted": DEMOTED,
    "frames_rekeyed": REKEYED,
}


class Uksm(Policy):
    """The region ladder and adaptive partial hashes.

    The kernel's slots are mappings; a guest has one, so slots are fixed regions of guests (slot_kib, for guests that
    enter later). How much CPU there is, is up to the schedule or the experiment's budget; a batch is divided among the
    rungs that have slots in the ratio of the governor's CPU shares. So the kernel's own sleeping, which keeps those
    shares of a whole CPU, is left out, and a rung's samples cover its slots in the preset's time only when the
    budget is the preset's.
    """

    name: ClassVar[str] = "uksm"
    source: ClassVar[str] = "xia2018 (FAST'18); rules and values from its kernel patch 0.1.2.6"
    tunables: ClassVar[Mapping[str, Tunable]] = {
        tunable.name: tunable
        for tunable in (
            Tunable("cpu_governor", 0, "preset: 0 full, 1 medium, 2 low, 3 quiet", high=len(GOVERNORS) - 1),
            Tunable("abundant_threshold", 10, "merged pages from which on a slot goes up", "%", low=1, high=100),
            Tunable("thrash_threshold", 50, "merged pages stored to beyond which it does not", "%", high=100),
            Tunable("slot_kib", 4096, "size of a region, a multiple of 256 KiB at least", "KiB", low=256),
        )
    }

    def __init__(self, host: Host, seed: int = 0) -> None:
        super().__init__(host, seed)
        self._random = np.random.default_rng(seed)
        h = host.arrays
        self._tables = make_tables(len(h.frames), len(h.pte), len(h.mms), host.page_size // WORD_BYTES, self._random)
        self._free = list(range(len(self._tables.slots) - 1, 0, -1))
        self._slots: dict[int, list[int]] = {}
        self._shares = Shares(RUNGS)
        self._page_ns = float(FIRST_PAGE_NS)
        self._billed_ns = 0  # of all batches so far
        self._strength = Strength(host.page_size // WORD_BYTES, int(strongest(self._tables)))
        self._start_state()

    def _start_state(self) -> None:
        state, prices = self._tables.state, self.work.prices
        state[STRENGTH] = self._strength.value
        state[ZERO_KEY] = change_strength(self.host.arrays.words, self._tables, 0, 0, 0, self._strength.value)
        state[RANDOM] = int(self._random.integers(1 << 31))
        state[COMPARE_COST] = prices["compare_byte"] * self.host.page_size / (prices["hash_byte"] * WORD_BYTES)
        self._tables.found[WORDS] = 0
        self._apply_thresholds()

    def _apply_thresholds(self) -> None:
        self._tables.state[ABUNDANT] = self.get("abundant_threshold")
        self._tables.state[THRASH] = self.get("thrash_threshold")

    def set(self, knob: str, text: str) -> None:
        """Write a tunable; slot_kib is for guests that enter later."""
        super().set(knob, text)
        self._apply_thresholds()

    # Guests

    def enter(self, mm: int) -> None:
        """Cut it into slots, which start on the slowest rung."""
        if mm in self._slots:
            return
        record = self.host.arrays.mms[mm]
        first, pages = int(record["first"]), int(record["pages"])
        size = self.get("slot_kib") // 4 // BLOCK * BLOCK
        self._slots[mm] = [
            self._add_slot(mm, first + start, min(size, pages - start)) for start in range(0, pages, size)
        ]

    def _add_slot(self, mm: int, first: int, pages: int) -> int:
        number, tables = self._free.pop(), self._tables
        tables.slots[number] = 0
        slot = tables.slots[number]
        slot["mm"], slot["first"], slot["pages"] = mm, first, pages
        mms = self.host.arrays.mms
        slot["cow_seen"] = mms[mm]["cow_ksm"] + mms[mm]["zero_cow"]
        tables.slot_of[first >> BLOCK_SHIFT : ((first + pages - 1) >> BLOCK_SHIFT) + 1] = number
        tables.order[first : first + pages] = self._random.permutation(pages)
        append_slot(tables, 0, number)
        tables.state[TO_DO] += 1
        return number

    def exit(self, mm: int) -> None:
        """Take its slots off the ladder and its pages out of the unstable index."""
        for number in self._slots.pop(mm, []):
            forget_slot(self._tables, number)
            self._free.append(number)
        self.host.release(mm)

    # Work

    def scan(self, pages: int) -> int:
        """One batch, divided among the rungs."""
        governor, rungs = GOVERNORS[self.get("cpu_governor")], self._tables.rungs
        rungs["wanted"] = governor.samples(round(self._page_ns))
        before, looked, all_shares = self._tables.found.copy(), 0, governor.shares()
        for _ in range(PASSES):
            slots = rungs["slots"].tolist()
            shares = [share if some else 0 for share, some in zip(all_shares, slots, strict=True)]
            if looked == pages or not any(shares):
                break
            quotas = np.array(self._shares.divide(pages - looked, shares))
            looked += int(scan_batch(self.host.arrays, self._tables, quotas))
        self._adapt_strength()
        self._count_work(self._tables.found - before)
        cost, self._billed_ns = self._billed_ns, self.work_ns()
        if looked:
            newest = (self._billed_ns - cost) / looked
            self._page_ns += (newest - self._page_ns) * SMOOTHING / 100
        return looked

    def _adapt_strength(self) -> None:
        """At the end of a hash round."""
        state = self._tables.state
        if not state[PAGES_HASHED]:
            return
        total = int(self._tables.rungs["pages"].sum())
        if not total or int(state[PAGES_HASHED]) * 4 <= total:
            return
        old = self._strength.value
        new = self._strength.adjust(int(state[POSITIVE]), int(state[NEGATIVE]), int(state[PAGES_HASHED]))
        state[POSITIVE] = state[NEGATIVE] = state[PAGES_HASHED] = 0
        if new != old:
            change_all(self.host.arrays, self._tables, new)
            self._tables.unstable.heads[:] = 0
            self._tables.unstable.size[0] = 0
            self._tables.unstable.crowded[:] = 0
            self._tables.unstable.flags[:] &= MERGED | TOP_KNOWN | NOT_ZERO

    def _count_work(self, found: np.ndarray) -> None:
        done: list[int] = found.tolist()
        self.work.count_visits(done[VISITED], done[VISITED] - done[SCANNED])
        self.work.count("hash_byte", done[LINES] * CACHE_LINE)
        self.work.count("hash_step", done[STEPS])
        self.work.count("compare_byte", done[COMPARED] * self.host.stands_for)
        self.work.count("merge", done[PAGES_MERGED] - done[ZERO_MERGED] + done[TAKEN])
        self.work.count("zero_merge", done[ZERO_MERGED])

    # Figures

    def counters(self) -> dict[str, int]:
        """KSM's names where they fit; the ladder's slots by rung, and what the hashes cost and spared."""
        shared, sharing = shared_pages(self.host)
        tables = self._tables
        return {
            "full_scans": int(tables.state[ROUNDS]),
            "pages_scanned": int(tables.found[SCANNED]),
            "pages_shared": shared,
            "pages_sharing": sharing,
            "ksm_zero_pages": int(self.host.arrays.mms["zero_pages"].sum()),
            "hash_strength": int(tables.state[STRENGTH]),
            **{f"slots_rung_{rung}": int(count) for rung, count in enumerate(tables.rungs["slots"])},
            **{name: int(tables.found[word]) for name, word in _COUNTED.items()},
        }

    def check(self) -> None:
        """The ladder and both indices too."""
        super().check()
        check_tables(self.host, self._tables)
