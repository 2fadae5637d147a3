"""How a guest's memory changes: which pages how often, to what. Learnt from recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from vmdedup.recording.reader import Recording

TO: Final = ("absent", "zero", "elsewhere", "new")  # elsewhere: what the guest had in another place already
MOST_RATE: Final = 255  # a page that changes at each step


@dataclass(frozen=True)
class Life:
    """interval_ns: from step to step. rates: by place, uint8, how often it changes, in 255ths of the steps.

    to: shares of changes, as TO has them; their sum is 1, or 0 where nothing changes.
    """

    interval_ns: int
    rates: NDArray[np.uint8]
    to: tuple[float, ...]


def life_of(recording: Recording, guest: int) -> Life | None:
    """What a recording says of a guest. None: it has one step only. DumpError: it is damaged."""
    steps = recording.steps
    if len(steps) < 2:
        return None
    state = recording.state(guest, 0)
    zero = _number_of_zeros(recording)
    times = np.zeros(len(state), np.int64)
    to = np.zeros(len(TO), np.int64)
    for step in range(1, len(steps)):
        held = np.unique(state)
        for places, contents in recording.changes(guest, step):
            times[places] += 1
            to += _sorted_out(contents, held, zero)
            state[places] = contents
    rates = np.minimum(MOST_RATE, np.ceil(times * (MOST_RATE / (len(steps) - 1)))).astype(np.uint8)
    total = int(to.sum())
    interval = (steps[-1].time_ns - steps[0].time_ns) // (len(steps) - 1)
    return Life(max(1, interval), rates, tuple(float(each) / max(1, total) for each in to))


def _sorted_out(contents: NDArray[np.uint32], held: NDArray[np.uint32], zero: int) -> NDArray[np.int64]:
    """How many of the changes are to what, in the order of TO."""
    absent = contents == 0
    zeros = (contents == zero) & ~absent
    known = np.isin(contents, held) & ~absent & ~zeros
    counts = [int(each.sum()) for each in (absent, zeros, known)]
    return np.array([*counts, len(contents) - sum(counts)], np.int64)


def _number_of_zeros(recording: Recording) -> int:
    """The content's number; 0 if there is none."""
    wanted = np.arange(1, recording.distinct + 1, dtype=np.uint32)
    for rows, pages in recording.contents(wanted):
        found = rows[~pages.any(axis=1)]
        if len(found):
            return int(wanted[found[0]])
    return 0


def common_life(lives: Sequence[Life | None]) -> Life | None:
    """How guests change of which some were recorded: the mean, place by place. None: none of them was."""
    known = [life for life in lives if life is not None]
    if not known:
        return None
    rates = np.mean([life.rates for life in known], axis=0)
    interval = round(sum(life.interval_ns for life in known) / len(known))
    to = tuple(sum(life.to[each] for life in known) / len(known) for each in range(len(TO)))
    return Life(interval, np.ceil(rates).astype(np.uint8), to)
