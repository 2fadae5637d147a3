"""What boots of a kind share, and what that says of more of them.

Think of each content of a boot as found in another boot with a chance p of its own. Of k boots it is known how many of
their contents are found in n of them; from that comes

    u[j]   the chance that a content of a boot is in none of j others, = mean of (1 - p)^j    exactly, for j < k

and N guests hold D (1 + u[1] + … + u[N - 1]) different contents, where one holds D. For j >= k nothing is known but
this: u[j] never grows, and u[j] u[j-2] >= u[j-1]^2, since it is a sequence of moments. So every u[j] lies between

    most sharing    all contents have the same p                      u[j] = u[j-1]^2 / u[j-2]
    least sharing   what is not in all boots is one guest's own       u[j] = u[k-1]

Between the two nothing but the class of a page can tell: one that holds addresses and is in one boot only is in no
other ever (learn.classes). Of all others both extremes are possible (files that each guest reads at random; data that
each makes), so the middle is foretold, and the interval covers both. Of fingerprints alone the class is not known: then
it is taken to be as in real guests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import comb
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vmdedup.learn.boot import ZERO, Boot
from vmdedup.learn.classes import ADDRESSES, CLASSES, PLAIN

Series = NDArray[np.float64]

# Share of contents that more guests may be found to have, by class. Of the last: of contents that one of two boots of
# real guests has alone, 11 to 25 in 100 hold no addresses.
MOST_BOOTS: Final = 256  # what they share is counted by all choices of some of them
OPEN: Final = (0.0, 1.0, 0.15)


@dataclass(frozen=True)
class Sharing:
    """seen: by class, how many contents were found in 1, 2, … k boots."""

    seen: tuple[tuple[int, ...], ...]

    @property
    def boots(self) -> int:
        """k."""
        return len(self.seen[0])

    def held(self, number: int) -> float:
        """Contents of a class that a boot holds, in the mean."""
        return sum(n * count for n, count in enumerate(self.seen[number], 1)) / self.boots

    @property
    def all_held(self) -> float:
        """Contents that a boot holds, in the mean."""
        return sum(self.held(number) for number in range(len(CLASSES)))

    def unshared(self, number: int) -> Series:
        """u[0] … u[k-1] of a class."""
        return _unshared(self.seen[number])

    def in_all(self, number: int) -> Series:
        """By j < k: the chance that a content of a boot is in all of j others."""
        return _in_all(self.seen[number])

    def extremes(self, number: int, guests: int) -> tuple[Series, Series]:
        """u[0] … u[guests-1] of a class as small, and as large, as they can be."""
        known = self.unshared(number)[:guests]
        return _most_sharing(known, guests), _least_sharing(known, guests)

    def bounds(self, number: int, guests: int) -> tuple[Series, Series]:
        """The same, by what is known of the class."""
        small, large = self.extremes(number, guests)
        return (small if OPEN[number] else large), large

    def likely(self, number: int, guests: int) -> Series:
        """u[0] … u[guests-1] of a class as they are foretold."""
        small, large = self.extremes(number, guests)
        return large + (small - large) * (OPEN[number] / 2)


@cache
def _unshared(seen: tuple[int, ...]) -> Series:
    return _mean_of(seen, lambda n, j: comb(len(seen) - n, j))


@cache
def _in_all(seen: tuple[int, ...]) -> Series:
    return _mean_of(seen, lambda n, j: comb(n - 1, j))


def _mean_of(seen: Sequence[int], ways: Callable[[int, int], int]) -> Series:
    """By j: the mean over contents of the share of all choices of j other boots that are so. ways: how many are."""
    boots, total = len(seen), sum(n * count for n, count in enumerate(seen, 1))
    if not total:
        return np.ones(boots)
    sums = [sum(n * count * ways(n, j) for n, count in enumerate(seen, 1)) for j in range(boots)]
    return np.array([each / (total * comb(boots - 1, j)) for j, each in enumerate(sums)], np.float64)


def _most_sharing(known: Series, guests: int) -> Series:
    ratio = known[-1] / known[-2] if len(known) > 1 and known[-2] else 0.0
    return np.concatenate((known, known[-1] * ratio ** np.arange(1, guests - len(known) + 1)))


def _least_sharing(known: Series, guests: int) -> Series:
    return np.concatenate((known, np.full(guests - len(known), known[-1])))


def sharing_of(boots: Sequence[Boot], classes: NDArray[np.uint8]) -> Sharing:
    """Count in how many boots each content is. classes: by content."""
    times = times_seen(boots, len(classes))
    classes = by_boots(classes, times)
    counts = [np.bincount(times[classes == each], minlength=len(boots) + 1)[1:] for each in range(len(CLASSES))]
    return Sharing(tuple(tuple(int(count) for count in row) for row in counts))


def by_boots(classes: NDArray[np.uint8], times: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Classes of contents that are in so many boots: what looks like an address, and is in two, is none of a boot."""
    return np.where((classes == ADDRESSES) & (times > 1), PLAIN, classes).astype(np.uint8)


def times_seen(boots: Sequence[Boot], contents: int) -> NDArray[np.int64]:
    """In how many boots each content is, (contents,); zeros count as none."""
    times = np.zeros(contents, np.int64)
    for boot in boots:
        times[boot.held] += 1
    times[ZERO] = 0
    return times
