"""How long pages stay patched or compressed before their guest uses them again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.layout import COMPRESSED, PATCHED, PRESENT
from vmdedup.host.memory import Host
from vmdedup.host.rebuild import kind_of_all


class Lives:
    """An observer of page tables. What a guest discards, or what is swapped out, has not been used: it is cut short."""

    def __init__(self, host: Host) -> None:
        self._pte = host.arrays.pte
        self._since = np.full(len(self._pte), -1, np.int64)
        self._used: list[NDArray[np.int64]] = []
        self._cut: list[NDArray[np.int64]] = []

    def _stored(self) -> NDArray[np.bool_]:
        kinds = kind_of_all(self._pte)
        stored: NDArray[np.bool_] = (kinds == PATCHED) | (kinds == COMPRESSED)
        return stored

    def begin(self, now_ms: int) -> None:
        """After the policy's turn: what it has stored begins to live."""
        self._since[self._stored() & (self._since < 0)] = now_ms

    def end(self, now_ms: int) -> None:
        """After the guests' turn: what is not stored any more has ended in it."""
        ended = np.flatnonzero((self._since >= 0) & ~self._stored())
        used = (self._pte[ended] & PRESENT) != 0
        lived = now_ms - self._since[ended]
        self._used.append(lived[used])
        self._cut.append(lived[~used])
        self._since[ended] = -1

    def used(self) -> NDArray[np.int64]:
        """Milliseconds from being stored to the next use, of all that were used again."""
        return np.concatenate([np.zeros(0, np.int64), *self._used])

    def unused(self, now_ms: int) -> NDArray[np.int64]:
        """Milliseconds that the others have been stored without being used."""
        return np.concatenate([now_ms - self._since[self._since >= 0], *self._cut])


def share_within(used: NDArray[np.int64], times_ms: Sequence[float]) -> list[float]:
    """Per cent of those used again that were so within each of the times."""
    return [100 * float((used <= time).mean()) if len(used) else 0.0 for time in times_ms]


def estimated_within(used: NDArray[np.int64], unused: NDArray[np.int64], times_ms: Sequence[float]) -> list[float]:
    """Per cent of all stored pages that are used within each of the times, those that were not yet used counted in.

    Source: Kaplan and Meier, Nonparametric estimation from incomplete observations, 1958.
    """
    lived = np.concatenate((used, unused))
    order = np.lexsort((np.repeat((0, 1), (len(used), len(unused))), lived))  # at equal times, uses first
    is_used = order < len(used)
    left = np.cumprod(1 - is_used / np.arange(len(lived), 0, -1))
    reached = np.searchsorted(lived[order], times_ms, side="right")
    return [100 * (1 - float(left[place - 1])) if place else 0.0 for place in reached.tolist()]
