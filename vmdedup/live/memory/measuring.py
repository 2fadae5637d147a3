"""The memory of real guests at one moment: who maps which frame, and what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import GuestError
from vmdedup.live.ksm.alone import process_counters
from vmdedup.live.memory.guest import BLOCK_PAGES, THP, VisiblePages, read_pages, visible_pages
from vmdedup.live.memory.hashing import PageHasher

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Sight:
    """One guest: its pages, and its ksm_stat."""

    pages: VisiblePages
    stat: Mapping[str, int]

    @property
    def allocated(self) -> int:
        """Pages with content of their own, KSM's zero pages included."""
        return len(self.pages) + self.stat["ksm_zero_pages"]

    @property
    def other_zeros(self) -> int:
        """Pages that map the zero page although KSM did not put it there: only read, or split from a huge page."""
        return self.pages.zeros - self.stat["ksm_zero_pages"]

    @property
    def huge(self) -> int:
        """Pages that are part of a huge page."""
        return self.pages.count(THP)


@dataclass(frozen=True)
class Look:
    """All guests that are there. pairs: every mapping as frame << 16 | (place of the guest + 1), int64.

    frames: each once, ascending; hashes: XXH64 of their contents.
    """

    sights: Mapping[str, Sight]
    pairs: Ints
    frames: Ints
    hashes: Ints


def look(guests: Mapping[str, int], hasher: PageHasher) -> Look:
    """Look at guests, name to pid; those that have ended are left out. Exact while nobody runs.

    The place of a guest is its place among all, from 0. EnvironmentLacksError: not root.
    """
    sights, places = {}, {}
    for place, (name, pid) in enumerate(guests.items()):
        try:
            sights[name] = Sight(visible_pages(pid), process_counters(pid))
        except GuestError:
            continue
        places[name] = place
    found = [sight.pages.frames.astype(np.int64) for sight in sights.values()]
    every = np.concatenate([*found, np.zeros(0, np.int64)])
    owners = np.repeat(np.array([*places.values()], np.int64) + 1, [len(frames) for frames in found])
    frames, firsts = np.unique(every, return_index=True)
    return Look(sights, every << 16 | owners, frames, _hashes(list(sights.values()), firsts, hasher))


def _hashes(sights: list[Sight], places: NDArray[np.intp], hasher: PageHasher) -> Ints:
    """Hashes of the pages at these places, counted through all guests; 0 where a guest ended meanwhile."""
    hashes, start = np.zeros(len(places), np.int64), 0
    for sight in sights:
        own = np.flatnonzero((places >= start) & (places < start + len(sight.pages)))
        own = own[np.argsort(places[own])]
        numbers = sight.pages.numbers[places[own] - start]
        start += len(sight.pages)
        try:
            for first in range(0, len(own), BLOCK_PAGES):
                part = slice(first, first + BLOCK_PAGES)
                hashes[own[part]] = hasher.hashes(read_pages(sight.pages.pid, numbers[part]))
        except GuestError:
            continue
    return hashes
