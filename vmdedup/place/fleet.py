"""A fleet: guests, what each holds, and how much memory any set of them takes on one host once equal pages are shared.

Contents that the same guests have are one part, so nothing is lost, and few parts stand for many pages:

                 part 0   part 1   part 2    own
    pages          9000     1200      300
    guest a           x        x                410
    guest b           x                 x        77

A set of guests takes the own pages of each, and each part that any of them has, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.bool_]
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Guest:
    """A guest. pages: that it has. contents: uint64, a fingerprint each of its distinct contents, ascending.

    host: where it is now, by any name; "": not said. times: a content here stands for so many (a sampled read).
    """

    name: str
    pages: int
    contents: NDArray[np.uint64]
    host: str = ""
    times: int = 1


@dataclass(frozen=True, eq=False)
class Fleet:
    """Guests and what they share. pages, own: int64[guests]; parts: int64[parts], pages; has: bool[guests, parts].

    own: distinct contents that no other guest has, in pages. hosts: where guests are now; "" where that is not said.
    """

    names: tuple[str, ...]
    pages: Counts
    own: Counts
    parts: Counts
    has: Bits
    hosts: tuple[str, ...] = ()
    times: int = field(default=1)

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def weighted(self) -> NDArray[np.float32]:
        """Pages of each part that a guest has, [guests, parts]; exact up to 2**24 pages a part."""
        return self.has.astype(np.float32) * self.parts.astype(np.float32)

    @cached_property
    def alone(self) -> Counts:
        """Pages that each guest takes on a host of its own."""
        return self.own + self.has @ self.parts

    def used(self, guests: Sequence[int]) -> int:
        """Pages that these guests take on one host."""
        rows = list(guests)
        return int(self.own[rows].sum() + self.parts[self.has[rows].any(axis=0)].sum()) if rows else 0

    def saved(self, guests: Sequence[int]) -> int:
        """Pages that sharing saves of these on one host."""
        return int(self.pages[list(guests)].sum()) - self.used(guests)


def fleet_of(guests: Sequence[Guest]) -> Fleet:
    """The fleet of such guests; the contents of all are sorted together, at 16 bytes each."""
    times = guests[0].times
    counts = [len(guest.contents) for guest in guests]
    contents = np.concatenate([guest.contents for guest in guests])
    owner = np.repeat(np.arange(len(guests), dtype=np.int32), counts)
    order = np.argsort(contents, kind="stable")
    contents, owner = contents[order], owner[order]
    starts = np.flatnonzero(np.r_[True, contents[1:] != contents[:-1]]) if len(contents) else np.zeros(0, np.int64)
    sizes = np.diff(np.r_[starts, len(contents)])
    alone = owner[starts[sizes == 1]]
    own = np.bincount(alone, minlength=len(guests)).astype(np.int64) * times
    parts, has = _parts(owner, starts[sizes > 1], sizes[sizes > 1], len(guests))
    return Fleet(
        tuple(guest.name for guest in guests),
        np.array([guest.pages for guest in guests], np.int64),
        own,
        parts * times,
        has,
        tuple(guest.host for guest in guests),
        times,
    )


def _parts(owner: NDArray[np.int32], starts: Counts, sizes: Counts, guests: int) -> tuple[Counts, Bits]:
    """Contents that several guests have, by who has them: owner[starts[n] :][: sizes[n]]."""
    if not len(starts):
        return np.zeros(0, np.int64), np.zeros((guests, 0), np.bool_)
    # Who has a content, as a sum of random words of 64 bits: two sets of guests have the same once in 2**64.
    words = np.random.default_rng(guests).integers(0, 1 << 64, guests, dtype=np.uint64)
    sums = np.r_[np.zeros(1, np.uint64), np.cumsum(words[owner], dtype=np.uint64)]
    _, first, pages = np.unique(sums[starts + sizes] - sums[starts], return_index=True, return_counts=True)
    has = np.zeros((guests, len(first)), np.bool_)
    for part, at in enumerate(first):
        has[owner[starts[at] : starts[at] + sizes[at]], part] = True
    return pages.astype(np.int64), has


def subset(fleet: Fleet, guests: Iterable[int]) -> Fleet:
    """Some of the guests; parts that only one of them has stay parts."""
    rows = list(guests)
    return Fleet(
        tuple(fleet.names[row] for row in rows),
        fleet.pages[rows],
        fleet.own[rows],
        fleet.parts,
        fleet.has[rows],
        tuple(fleet.hosts[row] for row in rows) if fleet.hosts else (),
        fleet.times,
    )
