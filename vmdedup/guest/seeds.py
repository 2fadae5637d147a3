"""Randomness that is a function of names and counters: same bytes on any machine and with any NumPy.

One 64-bit seed is split by hash: scenario → host → guest → workload. Everything drawn below a seed depends
on that seed and on how much was drawn before, never on time or on what other processes do.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vmdedup.mixing import MASK, MIX_1, MIX_2, STEP

Words = NDArray[np.uint64]

_STEP: Final = np.uint64(STEP)
_MIX_1: Final = np.uint64(MIX_1)
_MIX_2: Final = np.uint64(MIX_2)


def split_seed(seed: int, *names: str | int) -> int:
    """The 64-bit seed of the part that names say, below seed."""
    path = [int(seed) & MASK, *(name if isinstance(name, str) else int(name) for name in names)]
    digest = hashlib.blake2b(repr(path).encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def mix(words: ArrayLike) -> Words:
    """Each word scattered over 64 bits, one to one.

    Source: mix64 of Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA'14, with
    the constants of Stafford's variant 13.
    """
    return scatter(np.array(words, dtype=np.uint64, ndmin=1))


def scatter(out: Words) -> Words:
    """mix, in place. Returns its argument."""
    scratch = np.empty_like(out)
    for shift, factor in ((np.uint64(30), _MIX_1), (np.uint64(27), _MIX_2)):
        np.right_shift(out, shift, out=scratch)
        np.bitwise_xor(out, scratch, out=out)
        np.multiply(out, factor, out=out)
    np.right_shift(out, np.uint64(31), out=scratch)
    return np.bitwise_xor(out, scratch, out=out)


def keys(seed: int, numbers: ArrayLike) -> Words:
    """A 64-bit key for each number, below seed. numbers: any shape, not negative."""
    counted = np.atleast_1d(np.asarray(numbers)).astype(np.uint64) * _STEP
    return mix(counted + np.uint64(seed & MASK))


def below(words: Words, share: float) -> NDArray[np.bool_]:
    """Which of the words fall into the first share (0 to 1) of all values."""
    return fractions(words) < share


def fractions(words: Words) -> NDArray[np.float64]:
    """Each word as a number from 0 to below 1."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


class Stream:
    """A stream of random words below one seed; drawn is how many words it has given."""

    def __init__(self, seed: int, drawn: int = 0) -> None:
        self.seed = seed & MASK
        self.drawn = drawn

    def words(self, count: int) -> Words:
        """The next count words."""
        first = self.drawn
        self.drawn += count
        return keys(self.seed, np.arange(first, first + count, dtype=np.uint64))

    def integers(self, count: int, bound: int) -> NDArray[np.int64]:
        """count numbers from 0 to below bound; bound at most 2**32."""
        return ((self.words(count) >> np.uint64(32)) * np.uint64(bound) >> np.uint64(32)).astype(np.int64)

    def integer(self, bound: int) -> int:
        """One number from 0 to below bound."""
        return int(self.integers(1, bound)[0])

    def uniform(self, count: int) -> NDArray[np.float64]:
        """count numbers from 0 to below 1."""
        return fractions(self.words(count))

    def permutation(self, count: int) -> NDArray[np.int64]:
        """The numbers from 0 to below count, in random order."""
        return np.argsort(self.words(count), kind="stable").astype(np.int64)

    def sample(self, count: int, bound: int) -> NDArray[np.int64]:
        """count different numbers from 0 to below bound, in random order; all of them if there are fewer."""
        return self.permutation(bound)[:count]


class Zipf:
    """Draws ranks 0..count-1, rank r with a probability proportional to 1/(r+1)**exponent."""

    def __init__(self, count: int, exponent: float) -> None:
        weights = 1.0 / np.arange(1, count + 1, dtype=np.float64) ** exponent
        self._cumulated = np.cumsum(weights)

    def draw(self, stream: Stream, count: int) -> NDArray[np.int64]:
        """count ranks."""
        places = stream.uniform(count) * self._cumulated[-1]
        ranks: NDArray[np.int64] = np.searchsorted(self._cumulated, places, side="right")
        return ranks
