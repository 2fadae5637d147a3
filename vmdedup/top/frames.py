"""Who has frames in common with whom, of a sample of the frames."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MOST_FRAMES: Final = 1 << 16  # mappings that are looked at; of more, those of one frame in so many
MOST_GUESTS: Final = 64  # who shares with whom is told of so many


def common_frames(frames: Mapping[str, NDArray[Any]]) -> tuple[dict[tuple[str, str], int], int]:
    """Frames that two guests have in common, by their names, and of how many frames one was looked at.

    frames: those that each guest maps, integers. Counts of a sample are made as large as those of all would be. Of
    very many guests, those that map most are told.
    """
    sample = max(1, -(-sum(map(len, frames.values())) // MOST_FRAMES))
    names = sorted(frames, key=lambda name: -len(frames[name]))[:MOST_GUESTS]
    # A multiplication spreads neighbours, so that every part of memory is in the sample alike.
    chosen = {name: np.unique(_sampled(frames[name].astype(np.uint64), sample)) for name in names}
    every = np.concatenate([*chosen.values(), np.zeros(0, np.uint64)])
    owners = np.repeat(np.arange(len(names)), [len(found) for found in chosen.values()])
    order = np.argsort(every, kind="stable")
    every, owners = every[order], owners[order]
    shared = np.zeros(len(every), bool)
    if len(every) > 1:
        same = every[1:] == every[:-1]
        shared[1:] |= same
        shared[:-1] |= same
    kept, owned = every[shared], owners[shared]
    rows = np.cumsum(np.diff(kept, prepend=kept[:1]) != 0) if len(kept) else np.zeros(0, np.intp)
    incidence = np.zeros((int(rows[-1]) + 1 if len(rows) else 0, len(names)), np.float32)
    incidence[rows, owned] = 1
    common = incidence.T @ incidence
    pairs = {
        (names[one], names[two]): round(float(common[one, two])) * sample
        for one, two in combinations(range(len(names)), 2)
        if common[one, two]
    }
    return pairs, sample


def _sampled(frames: NDArray[np.uint64], sample: int) -> NDArray[np.uint64]:
    if sample == 1:
        return frames
    chosen: NDArray[np.uint64] = frames[
        (frames * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(40)) % np.uint64(sample) == 0
    ]
    return chosen
