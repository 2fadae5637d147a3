"""Guests with a planted structure, and VUsion on them."""

from __future__ import annotations

import numpy as np

from vmdedup.host.layout import GUARDED
from vmdedup.host.memory import Host
from vmdedup.host.rebuild import frames_behind, kind_of_all
from vmdedup.host.space import Memory
from vmdedup.policy.vusion.policy import Vusion

PAGES, GUESTS = 64, 3
COMMON, TWICE, ZEROS = 16, 8, 4  # pages that all guests have; that each has twice; empty ones
IDEAL = GUESTS * PAGES - (COMMON + 1 + GUESTS * (PAGES - COMMON - TWICE - ZEROS))  # frames that can be saved


def contents(guest: int) -> np.ndarray:
    """The planted structure; the rest is unique."""
    rows = np.random.default_rng(100 + guest).integers(0, 256, (PAGES, 4096), dtype=np.uint8)
    rows[:COMMON] = np.random.default_rng(7).integers(0, 256, (COMMON, 4096), dtype=np.uint8)
    rows[COMMON : COMMON + TWICE] = rows[PAGES - TWICE :]
    rows[COMMON + TWICE : COMMON + TWICE + ZEROS] = 0
    return rows


class Bench:
    """Guests with that structure, and the policy."""

    def __init__(self, seed: int = 1, room: int = 1024) -> None:
        self.host = Host.create(GUESTS * PAGES + 64, frames=room, mms=GUESTS + 2)
        self.policy = Vusion(self.host, seed)
        self.guests = [self.host.add(PAGES, f"g{number}") for number in range(GUESTS)]
        for number, memory in enumerate(self.guests):
            memory.write_pages(np.arange(PAGES), contents(number))
            self.policy.enter(memory.mm)

    def rounds(self, count: int = 1) -> None:
        """Let it go round all memory so many times."""
        for _ in range(count):
            assert self.policy.scan(GUESTS * PAGES) == GUESTS * PAGES

    def saved(self) -> int:
        return int(self.host.allocated()[0].sum()) - self.host.frames_in_use()

    def figure(self, name: str) -> int:
        return self.policy.counters()[name]

    def close(self) -> None:
        """All was sound to the end."""
        self.policy.check()
        self.host.close()


def guarded(memory: Memory) -> np.ndarray:
    """Which pages of a guest are guarded, bool[pages]."""
    return np.asarray(kind_of_all(memory.entries) == GUARDED)


def frame(memory: Memory, page: int) -> int:
    """The frame that a page lies in, accessible or not."""
    return int(frames_behind(memory.entries)[page])
