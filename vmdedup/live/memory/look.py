"""The memory of guests at one moment, seen from outside: who maps which frame, and what is in it.

Frames come from /proc/PID/pagemap, their kinds from /proc/kpageflags. KSM's zero pages cannot be told there from zero
pages that were only read, so their number is that of ksm_stat. Contents are read through /proc/PID/mem, each frame
once, and only where a page is present: reading an absent one would make it present. process_vm_readv will not do: it
pins pages, and a merged page cannot be pinned, so the kernel would take each one apart.
Source: Documentation/admin-guide/mm/pagemap.rst; mm/gup.c gup_must_unshare.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import GuestError
from vmdedup.host.thp import HUGE_PAGES
from vmdedup.live.ksm.alone import process_counters
from vmdedup.live.memory.guest import BLOCK_PAGES, THP, VisiblePages, read_pages
from vmdedup.live.memory.hashing import PageHasher

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Sight:
    """One guest: its pages, and its ksm_stat."""

    pages: VisiblePages
    stat: Mapping[str, int]

    @property
    def zero_placed(self) -> int:
        """Zero pages that KSM put there; none of `pages`."""
        return self.stat["ksm_zero_pages"]

    @property
    def allocated(self) -> int:
        """Pages with content of their own, KSM's zero pages included."""
        return len(self.pages) + self.zero_placed

    @property
    def other_zeros(self) -> int:
        """Pages that map the zero page although KSM did not put it there: only read, or split from a huge page."""
        return self.pages.zeros - self.zero_placed

    @property
    def huge(self) -> int:
        """Huge pages, as many as its pages in them would make."""
        return self.pages.count(THP) // HUGE_PAGES


@dataclass(frozen=True)
class Look:
    """All guests that are there, by number. pairs: every mapping as frame << 16 | number, int64.

    frames: each once, ascending; hashes: XXH64 of their contents.
    """

    sights: Mapping[int, Sight]
    pairs: Ints
    frames: Ints
    hashes: Ints


class Gone(Exception):  # noqa: N818 - no error: it is caught here
    """A guest ended while it was looked at."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def look(guests: Mapping[int, Callable[[], VisiblePages]], hasher: PageHasher) -> Look:
    """Look at guests: by number, from 1 on, what tells the pages of each. Those that have ended are left out.

    Exact while nobody runs. EnvironmentLacksError: not root.
    """
    left = dict(guests)
    while True:
        try:
            return _look(left, hasher)
        except Gone as gone:
            del left[gone.number]


def _look(guests: Mapping[int, Callable[[], VisiblePages]], hasher: PageHasher) -> Look:
    sights = {number: _sight(number, pages) for number, pages in guests.items()}
    found = [sight.pages.frames.astype(np.int64) for sight in sights.values()]
    every = np.concatenate([*found, np.zeros(0, np.int64)])
    owners = np.repeat(np.array([*sights], np.int64), [len(frames) for frames in found])
    frames, firsts = np.unique(every, return_index=True)
    return Look(sights, every << 16 | owners, frames, _hashes(sights, firsts, hasher))


def _sight(number: int, pages: Callable[[], VisiblePages]) -> Sight:
    try:
        seen = pages()
        return Sight(seen, process_counters(seen.pid))
    except GuestError:
        raise Gone(number) from None


def _hashes(sights: Mapping[int, Sight], places: NDArray[np.intp], hasher: PageHasher) -> Ints:
    """Hashes of the pages at these places, counted through all guests."""
    hashes, start = np.zeros(len(places), np.int64), 0
    for number, sight in sights.items():
        own = np.flatnonzero((places >= start) & (places < start + len(sight.pages)))
        own = own[np.argsort(places[own])]
        numbers = sight.pages.numbers[places[own] - start]
        start += len(sight.pages)
        try:
            for first in range(0, len(own), BLOCK_PAGES):
                part = slice(first, first + BLOCK_PAGES)
                hashes[own[part]] = hasher.hashes(read_pages(sight.pages.pid, numbers[part]))
        except GuestError:
            raise Gone(number) from None
    return hashes
