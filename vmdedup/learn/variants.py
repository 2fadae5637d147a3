"""How the contents of emulated guests come to be shared as foretold: each stands for one of so many variants.

A guest made from a model has the layout of one of the boots, and where that boot has a content it has one variant of
it, drawn by its own seed from 1, 2, 4 or 16, or from so many that nobody else has it. Guests then hold a content in
common with the chance 1, 1/2, 1/4, 1/16 or 0. How many contents have how many variants is such that N guests hold as
many different ones as learn.sharing foretells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vmdedup.learn.boot import Boot
from vmdedup.learn.classes import CLASSES
from vmdedup.learn.sharing import Series, Sharing, by_boots, times_seen

OWN: Final = 0  # as a number of variants: without end
VARIANTS: Final = (1, 2, 4, 16, OWN)
_GUESTS: Final = 16  # up to so many, what guests hold is as foretold
_ROUNDS: Final = 5_000  # after which the weights no longer move
_CHANCES: Final = np.array([1.0, 0.5, 0.25, 1 / 16, 0.0])


def weights(likely: Series) -> Series:
    """Shares of contents with each of VARIANTS, by which u[j] come nearest to the given ones; their sum is 1.

    Non-negative least squares by multiplicative steps. Source: Lee and Seung, NIPS 2000.
    """
    powers = (1.0 - _CHANCES)[None, :] ** np.arange(len(likely))[:, None]
    powers[0] = 1.0
    found = np.full(len(VARIANTS), 1 / len(VARIANTS))
    aim, square = powers.T @ likely, powers.T @ powers
    for _ in range(_ROUNDS):
        found *= aim / np.maximum(square @ found, 1e-300)
    result: Series = found / found.sum()
    return result


def chances(shares: Series, seen: int, boots: int) -> Series:
    """Of a content of one boot that was found in so many of all: the chance of each of VARIANTS. shares: weights()."""
    exponents = (seen - 1, boots - seen)
    by_variant = shares * _CHANCES ** exponents[0] * (1.0 - _CHANCES) ** exponents[1]
    if by_variant.sum() <= 0.0:
        by_variant = (np.abs(_CHANCES - seen / boots) == np.abs(_CHANCES - seen / boots).min()).astype(np.float64)
    result: Series = by_variant / by_variant.sum()
    return result


def variants(
    boots: Sequence[Boot], classes: NDArray[np.uint8], sharing: Sharing, draws: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Of each content: its slot, and its number of variants. draws: by slot, from 0 to below 1.

    Contents of one slot are drawn together: of those that one boot has alone, the n-th of a class in each boot.
    """
    times = times_seen(boots, len(classes))
    classes = by_boots(classes, times)
    slots = _slots(boots, classes, times)
    of: NDArray[np.uint8] = np.zeros(len(classes), np.uint8)
    for number in range(len(CLASSES)):
        shares = weights(sharing.likely(number, _GUESTS))
        for seen in range(1, len(boots) + 1):
            chosen = np.flatnonzero((classes == number) & (times == seen))
            if len(chosen):
                edges = np.cumsum(chances(shares, seen, len(boots)))[:-1]
                which = np.searchsorted(edges, draws[slots[chosen]], side="right")
                of[chosen] = np.array(VARIANTS, np.uint8)[which]
    return slots, of


def _slots(boots: Sequence[Boot], classes: NDArray[np.uint8], times: NDArray[np.int64]) -> NDArray[np.int32]:
    """A number for each content below the number of contents; see variants()."""
    slots = np.arange(len(classes), dtype=np.int32)
    for number in range(len(CLASSES)):
        alone = [boot.held[(classes[boot.held] == number) & (times[boot.held] == 1)] for boot in boots]
        longest = max(alone, key=len)
        for each in alone:
            slots[each] = longest[: len(each)]
    return slots
