"""What the kernel's ksmd takes on this host, content by content, and the price list that follows.

Both ksmds are given the same pages. The kernel's is timed in each phase; the emulated one tells how often each
operation was done in it. One price after another follows from a phase in which it is the only one that is not known.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from vmdedup.host.memory import Host
from vmdedup.ksm.ksmd import Ksmd
from vmdedup.ksm.prices import Prices, bill_ns
from vmdedup.live.ksm.session import KsmSession
from vmdedup.live.prices.timing import KernelTimer
from vmdedup.replay.content import Pages
from vmdedup.units import PAGE_SIZE

BATCH: Final = 250  # pages, where waking up is timed
_ALIKE: Final = PAGE_SIZE // 2  # bytes at the beginning, in content "alike"
_BLOCK: Final = 4096  # pages stored at a time
_SEED: Final = 7
_NOT_TIMED: Final = ""
_BATCHES: Final = "in batches"
_KNOBS: Final = {"smart_scan": 0, "use_zero_pages": 0, "max_page_sharing": 256}
Work = dict[str, int]
Say = Callable[[str], None]


def _noise(pages: int) -> Pages:
    words = np.random.default_rng(_SEED).integers(0, 1 << 63, (pages, PAGE_SIZE // 8))
    return np.ascontiguousarray(words).view(np.uint8)


def _pairs(pages: int) -> Pages:
    order = np.random.default_rng(_SEED + 1).permutation(np.arange(pages) % (pages // 2))
    paired: Pages = _noise(pages // 2)[order]
    return paired


def _alike(pages: int) -> Pages:
    rows = _noise(pages)
    rows[:, :_ALIKE] = rows[0, :_ALIKE]
    return rows


def _mixed(pages: int) -> Pages:
    rows = _noise(pages)
    half = pages // 2
    rows[half : half + half // 2] = rows[: half // 2]
    return rows


def _zeros(pages: int) -> Pages:
    return np.zeros((pages, PAGE_SIZE), np.uint8)


@dataclass(frozen=True)
class Content:
    """Pages, tunables, and what each full scan of them is called."""

    name: str
    make: Callable[[int], Pages]
    scans: tuple[str, ...]
    knobs: Mapping[str, int] = field(default_factory=dict)


CONTENTS: Final = (
    Content("pairs", _pairs, ("first", "merging", _NOT_TIMED, "steady", _BATCHES)),
    Content("single", _noise, ("first", _NOT_TIMED, "steady", "steady", "skipped"), {"smart_scan": 1}),
    Content("alike", _alike, ("first", _NOT_TIMED, "steady")),
    Content("mixed", _mixed, ("first", "merging", _NOT_TIMED, "steady")),
    Content("zeros", _zeros, ("first", "merging", _NOT_TIMED, "absent"), {"use_zero_pages": 1}),
)
# Price by price, the phase that it follows from once those before are known.
_SOLVED: Final = (
    ("visit", ("pairs", "steady")),
    ("batch", ("pairs", _BATCHES)),
    ("hash_byte", ("single", "first")),
    ("unstable_level", ("single", "steady")),
    ("compare_byte", ("alike", "steady")),
    ("stable_level", ("mixed", "steady")),
    ("merge", ("pairs", "merging")),
    ("zero_merge", ("zeros", "merging")),
    ("absent", ("zeros", "absent")),
    ("skip", ("single", "skipped")),
)


@dataclass
class Phase:
    """One kind of scan of one content. pages: in one scan. work: what is done in it. ns: of each that was timed."""

    content: str
    name: str
    pages: int
    work: Work
    ns: list[float]

    @property
    def median(self) -> float:
        """Nanoseconds of one scan."""
        return statistics.median(self.ns)

    def document(self) -> dict[str, Any]:
        """Nanoseconds a page."""
        low, middle, high = min(self.ns), self.median, max(self.ns)
        each = [round(ns / self.pages, 1) for ns in (middle, low, high)]
        return {
            "content": self.content,
            "phase": self.name,
            "ns_a_page": each[0],
            "lowest": each[1],
            "highest": each[2],
        }


Phases = dict[tuple[str, str], Phase]


def calibrate(session: KsmSession, pages: int, rounds: int, say: Say) -> tuple[dict[str, float], list[Phase]]:
    """The price list of this host, and the phases that it was made from. pages: of each content, from 4096."""
    phases: Phases = {}
    for content in CONTENTS:
        rows = content.make(pages)
        works = list(_emulated(content, rows))
        for turn in range(rounds):
            say(f"{content.name}, {turn + 1} of {rounds}")
            for name, work, ns in zip(content.scans, works, _timed(content, rows, session), strict=True):
                if name != _NOT_TIMED:
                    key = content.name, name
                    phases.setdefault(key, Phase(*key, len(rows), work, [])).ns.append(ns)
    return solve(phases), list(phases.values())


def solve(phases: Phases) -> dict[str, float]:
    """One price after another, nanoseconds; none is less than nothing."""
    prices: dict[str, float] = {}
    for operation, key in _SOLVED:
        phase = phases[key]
        known = bill_ns({name: times for name, times in phase.work.items() if name in prices}, prices)
        prices[operation] = round(max(0.0, phase.median - known) / phase.work[operation], 4)
    return prices


def stated(phase: Phase, prices: Prices) -> float:
    """What the list says of a phase, over what was measured."""
    return bill_ns(phase.work, prices) / phase.median


def _emulated(content: Content, rows: Pages) -> Iterator[Work]:
    """What is done in each scan."""
    host = Host.create(len(rows))
    try:
        memory = host.add(len(rows))
        for first in range(0, len(rows), _BLOCK):
            block = rows[first : first + _BLOCK]
            memory.write_pages(np.arange(first, first + len(block)), block)
        ksmd = Ksmd(host)
        for knob, value in {**_KNOBS, **content.knobs, "run": 1}.items():
            ksmd.set(knob, str(value))
        ksmd.enter(memory.mm)
        for name in content.scans:
            before, scans = ksmd.work_done(), ksmd.full_scans
            while ksmd.full_scans == scans:
                ksmd.scan(BATCH if name == _BATCHES else len(rows) + 1)
            yield {operation: times - before[operation] for operation, times in ksmd.work_done().items()}
    finally:
        host.close()


def _timed(content: Content, rows: Pages, session: KsmSession) -> Sequence[float]:
    """What the kernel's ksmd takes for each scan, nanoseconds of CPU time."""
    with KernelTimer([rows], {**_KNOBS, **content.knobs}, session) as timer:
        return [timer.scan(BATCH if name == _BATCHES else None).cpu_seconds * 1e9 for name in content.scans]
