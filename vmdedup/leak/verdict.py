"""What times of writes tell: how well two kinds of page can be told apart, and how much is learnt from it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]
PERCENTILES = (5, 25, 50, 75, 95)
BY_CHANCE = 10.828  # chi-square with one degree of freedom exceeds it in one of a thousand trials


def area_under_roc(positive: Times, negative: Times) -> float:
    """The probability that a time of the first is longer than one of the second, ties counting half.

    0.5: nothing can be told; 1: everything. It is the area under the curve of true over false positives.
    Source: Hanley and McNeil, Radiology 143 (1982).
    """
    order = np.sort(negative)
    below = np.searchsorted(order, positive, "left")
    not_above = np.searchsorted(order, positive, "right")
    return float((below + not_above).sum() / (2 * len(positive) * len(negative)))


def bits_per_probe(true_positives: float, false_positives: float) -> float:
    """What one guess tells whether it was right, in bits, if half of all guesses are right: mutual information."""
    said = (true_positives + false_positives) / 2
    return max(0.0, _entropy(said) - (_entropy(true_positives) + _entropy(false_positives)) / 2)


def beyond_chance(bits: float, probes: int) -> float:
    """Bits per probe that so many probes showed, 0 if chance alone shows as much in one of a thousand trials.

    Source: the G-test; 2 N ln 2 times the mutual information is distributed as chi-square (Wilks 1938).
    """
    return bits if 2 * probes * math.log(2) * bits > BY_CHANCE else 0.0


def percentiles(times: Times) -> tuple[float, ...]:
    """How times are distributed: PERCENTILES of them."""
    return tuple(float(value) for value in np.percentile(times, PERCENTILES))


def _entropy(p: float) -> float:
    return -sum(q * math.log2(q) for q in (p, 1 - p) if q > 0)
