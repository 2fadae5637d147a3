"""Random streams: fixed values, ranges, independence, the Zipf law."""

from __future__ import annotations

import numpy as np
import pytest

from vmdedup.guest.seeds import Stream, Zipf, below, keys, mix, split_seed


def splitmix(state: int) -> int:
    """One scattered word, in plain integers."""
    mask = (1 << 64) - 1
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & mask
    state = (state ^ state >> 27) * 0x94D049BB133111EB & mask
    return state ^ state >> 31


@pytest.mark.parametrize("word", [0, 1, 0x9E3779B97F4A7C15, (1 << 64) - 1])
def test_mix_equals_plain_integers(word: int) -> None:
    assert int(mix(np.array([word], dtype=np.uint64))[0]) == splitmix(word)


def test_seeds_and_streams_are_the_same_on_every_machine() -> None:
    assert split_seed(1, "host", 3) == 8046611727877468669
    assert Stream(split_seed(1, "host", 3)).words(2).tolist() == [15553784657664327135, 15585094853880257845]
    assert keys(5, [0, 1]).tolist() == [splitmix(5), splitmix(5 + 0x9E3779B97F4A7C15)]


def test_names_below_a_seed_are_independent() -> None:
    names: list[tuple[str | int, ...]] = [("a",), ("b",), ("a", 0), ("a0",), ("a", "0")]
    assert len({split_seed(seed, *name) for seed in (1, 2) for name in names}) == 10


def test_a_stream_goes_on_where_it_stopped() -> None:
    whole, parts = Stream(9), Stream(9)
    assert whole.words(10).tolist() == [*parts.words(3), *parts.words(7)]
    assert whole.drawn == parts.drawn == 10


def test_integers_cover_their_range_evenly() -> None:
    drawn = Stream(4).integers(100_000, 7)
    assert drawn.min() == 0
    assert drawn.max() == 6
    assert np.bincount(drawn).min() > 100_000 / 7 * 0.95


def test_permutation_and_sample() -> None:
    stream = Stream(6)
    order = stream.permutation(1000)
    assert sorted(order.tolist()) == list(range(1000))
    assert order.tolist() != list(range(1000))
    assert len(set(stream.sample(10, 1000).tolist())) == 10
    assert len(stream.sample(10, 3)) == 3


def test_below_takes_the_stated_share() -> None:
    words = Stream(8).words(100_000)
    assert below(words, 0.3).mean() == pytest.approx(0.3, abs=0.01)
    assert not below(words, 0.0).any()
    assert below(words, 1.0).all()


@pytest.mark.parametrize("exponent", [0.0, 0.8, 1.2])
def test_zipf_draws_follow_the_law(exponent: float) -> None:
    drawn = np.bincount(Zipf(50, exponent).draw(Stream(3), 200_000), minlength=50) / 200_000
    weights = 1.0 / np.arange(1, 51) ** exponent
    assert drawn == pytest.approx(weights / weights.sum(), abs=0.004)
