"""What several observations tell of as many secrets: whether they go together at all, and how well one is guessed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vmdedup.leak.attack import Channel

CHANCE = 0.001  # what chance shows as often as that is no leak
_PERMUTATIONS = 10_000
_AT_ONCE = 1 << 20  # pairs of trials, in all permutations that are looked at together
_EVEN = math.sqrt(12)  # standard deviation of an even distribution is its width divided by this

Numbers = NDArray[np.float64]


def judge(
    name: str, secret_unit: str, seen_unit: str, secrets: Sequence[int], seen: Sequence[float], possible: int
) -> Channel:
    """What a channel told. secrets, seen: of each trial. possible: how many secrets there could have been.

    The attacker knows how host and policy work, so it has tried this with secrets of its own: a secret is guessed by
    the straight line through all other trials.
    """
    hidden, shown = np.array(secrets, np.float64), np.array(seen, np.float64)
    area, chance = concordance(hidden, shown), by_chance(hidden, shown)
    told = chance < CHANCE
    guessed = guess_each(hidden, shown) if told else None
    error = None if guessed is None else float(np.sqrt(((guessed - hidden) ** 2).mean()))
    return Channel(
        name=name,
        secret_unit=secret_unit,
        seen_unit=seen_unit,
        auc=area,
        chance=chance,
        bits=0.0 if error is None else bits_of(possible, error),
        bits_possible=math.log2(possible),
        error=error,
        seen_per_secret=slope(hidden, shown) if told else None,
        secrets=tuple(secrets),
        seen=tuple(seen),
        guessed=None if guessed is None else tuple(int(each) for each in guessed),
    )


def concordance(secrets: Numbers, seen: Numbers) -> float:
    """Of two trials with unlike secrets, how often that with the larger one showed more, ties counting half.

    0.5: nothing is told; 1 or 0: it always goes up, or down. With two secrets only it is the area under the ROC curve.
    Source: Harrell and others, JAMA 247 (1982).
    """
    return float(_concordance(np.sign(secrets[:, None] - secrets), np.sign(seen[:, None] - seen)))


def _concordance(secrets: Numbers, seen: Numbers) -> Numbers:
    """secrets, seen: signs of the differences of all pairs, (…, n, n) and (n, n)."""
    pairs = max(1.0, float(np.abs(secrets).sum((-2, -1)).max()))
    result: Numbers = (1 + np.asarray((secrets * seen).sum((-2, -1))) / pairs) / 2
    return result


def by_chance(secrets: Numbers, seen: Numbers) -> float:
    """How often secrets that have nothing to do with what was seen go with it as well, in either direction.

    By a permutation test: the same secrets in other orders, drawn by lot; the same each time.
    """
    signs = np.sign(seen[:, None] - seen)
    away = abs(concordance(secrets, seen) - 0.5)
    if not away:
        return 1.0
    random, as_well, left = np.random.default_rng(1), 0, _PERMUTATIONS
    while left:
        drawn = random.permuted(np.tile(secrets, (min(left, _AT_ONCE // signs.size), 1)), axis=1)
        found = _concordance(np.sign(drawn[:, :, None] - drawn[:, None, :]), signs)
        as_well += int((np.abs(found - 0.5) >= away - 1e-12).sum())
        left -= len(drawn)
    return (as_well + 1) / (_PERMUTATIONS + 1)


def slope(secrets: Numbers, seen: Numbers) -> float:
    """What is seen for one more of the secret: of the straight line of least squares."""
    off = secrets - secrets.mean()
    return float((off * seen).sum() / max(1e-300, (off**2).sum()))


def guess_each(secrets: Numbers, seen: Numbers) -> Numbers:
    """Each secret, a whole number, by the straight line through the other trials."""
    guessed = np.empty_like(secrets)
    for number in range(len(secrets)):
        others = np.arange(len(secrets)) != number
        mean, rise = secrets[others].mean(), slope(seen[others], secrets[others])
        guessed[number] = round(mean + rise * (seen[number] - seen[others].mean()))
    return guessed


def bits_of(possible: int, error: float) -> float:
    """What a guess with such an error (root mean square) tells of one of so many secrets that are as likely.

    By how many times fewer are left: an even distribution with that deviation is error × √12 wide, one at least.
    """
    return max(0.0, math.log2(possible / max(1.0, _EVEN * error)))
