"""What N guests of a kind would save: foretold, with an interval that is to hold nine times in ten.

The interval has two parts: what cannot be known of more boots than were seen (learn.sharing, between its two extremes),
and by how much boots differ from each other at random. Of the latter two or three boots say little, so what they say is
taken together with what real boots of one image did: PRIOR.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from typing import Any, Final

import numpy as np

from vmdedup.learn.boot import Boot
from vmdedup.learn.classes import CLASSES
from vmdedup.learn.sharing import Sharing
from vmdedup.units import PAGE_SIZE

MIB: Final = 1 << 20
Figures = dict[str, float | None]
COVERS: Final = 0.9
PRIOR: Final = 0.01  # spread of what a boot holds, and of what two share, as a share of memory; as good as …
PRIOR_BOOTS: Final = 3  # … so many boots
# Student's t, 95 %, for 1, 2, … degrees of freedom.
_STUDENT: Final = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812)


@dataclass(frozen=True)
class Spread:
    """How much boots differ, in shares of memory: held: contents of one boot; shared: what two have in common."""

    held: float
    shared: float


@dataclass(frozen=True)
class Kind:
    """What is known of a kind of guest, in pages. present, zero: of a boot, in the mean.

    alone: whether one boot is all that is known. within: pages saved inside a boot, zeros left out, in the mean.
    """

    present: float
    zero: float
    sharing: Sharing
    spread: Spread

    @property
    def boots(self) -> int:
        """How many were seen."""
        return self.sharing.boots

    @property
    def within(self) -> float:
        """Pages of a boot that are not zero and whose content another of its pages has."""
        return max(0.0, self.present - self.zero - self.sharing.all_held)


def kind_of(boots: Sequence[Boot], sharing: Sharing) -> Kind:
    """What these boots say."""
    present = float(np.mean([boot.present for boot in boots]))
    zero = float(np.mean([boot.zero for boot in boots]))
    return Kind(present, zero, sharing, _spread(boots, present))


def _spread(boots: Sequence[Boot], present: float) -> Spread:
    held = [boot.held for boot in boots]
    sizes = [len(each) / max(1.0, present) for each in held]
    common = [len(np.intersect1d(a, b, True)) / max(1.0, present) for a, b in combinations(held, 2)]
    return Spread(_pooled(sizes), _pooled(common))


def _pooled(values: Sequence[float]) -> float:
    squares = float(np.square(np.array(values) - np.mean(values)).sum()) if len(values) > 1 else 0.0
    return sqrt((PRIOR_BOOTS * PRIOR**2 + squares) / (PRIOR_BOOTS + max(0, len(values) - 1)))


def forecast(kind: Kind, guests: int) -> list[dict[str, Any]]:
    """A row for each number of guests from 1 on; between and saved are None where nothing can be known of them."""
    rows = []
    for number in range(1, guests + 1):
        if kind.boots == 1 and number > 1:
            rows.append(_unknown(kind, number))
            continue
        rows.append(_row(kind, number))
    return rows


def different(kind: Kind, guests: int) -> tuple[float, float, float]:
    """Contents that so many guests hold, zeros left out: foretold, and between which two numbers, by bounds alone."""
    likely = most = least = 0.0
    for number in range(len(CLASSES)):
        held = kind.sharing.held(number)
        small, large = kind.sharing.bounds(number, guests)
        likely += held * float(kind.sharing.likely(number, guests).sum())
        least += held * float(small.sum())
        most += held * float(large.sum())
    return likely, least, most


def _row(kind: Kind, guests: int) -> dict[str, Any]:
    likely, least, most = different(kind, guests)
    pages = guests * kind.present
    zero = max(0.0, guests * kind.zero - 1)
    own = kind.present - kind.zero
    margin = _student(kind.boots) * _deviation(kind, guests) * pages
    saved, low, high = (guests * own - each + zero for each in (likely, most, least))
    within = guests * kind.within
    figures: Figures = {"zero": zero, "within": within, "between": saved - zero - within, "saved": saved}
    return _figures(guests, pages, figures, (max(0.0, low - margin), min(pages, high + margin)))


def _deviation(kind: Kind, guests: int) -> float:
    """Standard deviation of the share saved: of the guests' own sizes, and of what pairs of them share."""
    held = kind.sharing.all_held
    growth = different(kind, guests)[0] / max(1.0, held * guests)
    chance = 1 / guests + 1 / kind.boots
    return sqrt((growth * kind.spread.held) ** 2 * chance + ((1 - 1 / guests) * kind.spread.shared) ** 2 * chance)


def _unknown(kind: Kind, guests: int) -> dict[str, Any]:
    """From one boot: what is inside is known; of what lies between nothing, from none to all."""
    pages, held = guests * kind.present, kind.sharing.all_held
    zero, within = max(0.0, guests * kind.zero - 1), guests * kind.within
    figures: Figures = {"zero": zero, "within": within, "between": None, "saved": None}
    return _figures(guests, pages, figures, (zero + within, zero + within + (guests - 1) * held))


def _figures(guests: int, pages: float, figures: Figures, bounds: tuple[float, float]) -> dict[str, Any]:
    """The row in MiB, and in per cent of memory."""
    saved = figures["saved"]
    return {
        "guests": guests,
        "memory_mib": _mib(pages),
        **{f"{name}_mib": None if value is None else _mib(value) for name, value in figures.items()},
        "low_mib": _mib(bounds[0]),
        "high_mib": _mib(bounds[1]),
        "saved_percent": None if saved is None else 100 * saved / max(1.0, pages),
        "low_percent": 100 * bounds[0] / max(1.0, pages),
        "high_percent": 100 * bounds[1] / max(1.0, pages),
    }


def _student(boots: int) -> float:
    return _STUDENT[min(len(_STUDENT), PRIOR_BOOTS + boots - 1) - 1]


def _mib(pages: float) -> float:
    return pages * PAGE_SIZE / MIB


def saved_by(boots: Sequence[Boot]) -> int:
    """Pages that these boots really save together, zeros among them; as `scan` counts them."""
    distinct = len(np.unique(np.concatenate([boot.held for boot in boots])))
    zero = sum(boot.zero for boot in boots)
    return sum(boot.present for boot in boots) - distinct - (zero > 0)
