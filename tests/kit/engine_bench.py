"""A small host on which Difference Engine works on pages that are known, one pass at a time."""

from __future__ import annotations

import numpy as np

from vmdedup.host.layout import FRAME_MASK, FRAME_SHIFT
from vmdedup.host.memory import Host
from vmdedup.host.space import Memory
from vmdedup.policy.difference_engine.policy import DifferenceEngine

PAGE = 4096
CYCLE = 5  # passes
INTERVAL_MS = 4000


def noise(count: int, seed: int) -> np.ndarray:
    """Pages of random bytes."""
    return np.random.default_rng(seed).integers(0, 256, (count, PAGE)).astype(np.uint8)


def family(count: int, seed: int, changed: int = 16) -> np.ndarray:
    """Pages that differ from the first, which is noise, in so many bytes, all in their second eighth."""
    random = np.random.default_rng(seed)
    rows = np.repeat(noise(1, seed), count, axis=0)
    for row in rows[1:]:
        row[random.choice(np.arange(512, 1024), changed, replace=False)] ^= 0xFF
    return rows


def repeating(count: int, seed: int) -> np.ndarray:
    """Pages that compress well and are neither equal nor alike: 16 bytes of noise, again and again."""
    return np.tile(noise(count, seed)[:, :16], (1, PAGE // 16))


class EngineBench:
    """One guest whose pages are `rows`, and an engine with some tunables set."""

    def __init__(self, rows: np.ndarray, frames: int | None = None, swap: bool = True, **knobs: int) -> None:
        self.host = Host.create(4 * len(rows), frames=frames, mms=6, swap=swap)
        self.rows = rows.copy()
        self.count = len(rows)
        self.guest = self.add(self.rows)
        self.engine = self.attach(**knobs)

    def attach(self, **knobs: int) -> DifferenceEngine:
        """A new engine at work on the guest."""
        engine = DifferenceEngine(self.host, 1)
        for knob, value in knobs.items():
            engine.set(knob, str(value))
        engine.enter(self.guest.mm)
        return engine

    def add(self, rows: np.ndarray) -> Memory:
        """A guest with these pages."""
        memory = self.host.add(len(rows))
        memory.write_pages(np.arange(len(rows)), rows)
        return memory

    def one_pass(self) -> int:
        """One scan of all memory. Returns pages looked at."""
        engine = self.engine
        engine.charge(engine.now_ms + INTERVAL_MS, 0)
        before = engine.counters()["full_scans"]
        looked = engine.scan(10 * self.count)
        assert engine.counters()["full_scans"] == before + 1
        engine.check()
        return looked

    def passes(self, count: int) -> None:
        """So many scans of all memory."""
        for _ in range(count):
            self.one_pass()

    def state(self, page: int) -> int:
        """A page's state as the engine last saw it."""
        return int(self.engine._records.state[self.entry(page)])

    def entry(self, page: int) -> int:
        """A page's number on the host."""
        return int(self.host.arrays.mms[self.guest.mm]["first"]) + page

    def frame(self, page: int) -> int:
        """The frame that a page maps."""
        return (int(self.guest.entries[page]) >> FRAME_SHIFT) & FRAME_MASK

    def figure(self, name: str) -> int:
        """One of the engine's counters."""
        return self.engine.counters()[name]

    def kinds(self) -> list[int]:
        """Pages patched, compressed and swapped."""
        return [int(n) for n in self.host.kinds()[self.guest.mm][1:4]]

    def verify(self) -> None:
        """The guest reads what it stored, all is consistent, and nothing is left over."""
        np.testing.assert_array_equal(self.guest.read_pages(np.arange(self.count)), self.rows)
        self.engine.check()
