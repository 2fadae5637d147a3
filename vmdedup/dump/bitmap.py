"""Bitmaps of pages: bit n of byte m is page 8m + n."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def set_bits(part: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Numbers of the bits that are set, rising."""
    return np.flatnonzero(np.unpackbits(part, bitorder="little"))


def ones_in(part: NDArray[np.uint8]) -> int:
    """How many bits are set."""
    return int(np.bitwise_count(part).sum())


def clear_outside(part: NDArray[np.uint8], low: int, high: int) -> None:
    """Clear, in place, the bits before number low and from number high on; these may lie outside the part."""
    low, high = min(max(low, 0), 8 * len(part)), min(max(high, 0), 8 * len(part))
    part[: low // 8] = 0
    part[-(-high // 8) :] = 0
    if low % 8:
        part[low // 8] &= 0xFF << low % 8 & 0xFF
    if high % 8:
        part[high // 8] &= (1 << high % 8) - 1


def runs_of(parts: Iterable[tuple[int, NDArray[np.uint8]]], most: int) -> list[tuple[int, int]]:
    """Runs of set bits over the parts of a bitmap, each (first bit, how many).

    parts: number of the first bit, bytes; in order and without gaps. Of more than `most` runs one is made, from the
    first set bit to the last, so that a bitmap of every second page is no list of millions.
    """
    runs: list[tuple[int, int]] = []
    for first, part in parts:
        bits = np.unpackbits(part, bitorder="little")
        edges = np.flatnonzero(np.diff(bits, prepend=np.uint8(0), append=np.uint8(0))) + first
        for low, high in edges.reshape(-1, 2)[: most + 1].tolist():
            if runs and sum(runs[-1]) == low:
                runs[-1] = (runs[-1][0], high - runs[-1][0])
            else:
                runs.append((low, high - low))
        if len(runs) > most:
            runs = [(runs[0][0], int(edges[-1]) - runs[0][0])]
    return runs
