"""UKSM's partial hashes, how strong they are made, and its presets. Source: uksm 0.1.2.6."""

from __future__ import annotations

import numpy as np
import pytest

from vmdedup.policy.uksm.governor import GOVERNORS, Shares
from vmdedup.policy.uksm.layout import Tables, make_tables
from vmdedup.policy.uksm.partial import change_strength, strongest
from vmdedup.policy.uksm.strength import Strength

MASK = 0xFFFFFFFF


@pytest.fixture
def tables() -> Tables:
    return make_tables(8, 64, 2, 1024, np.random.default_rng(1))


def reference(page: np.ndarray, order: np.ndarray, strength: int) -> int:
    """The hash, written down once more."""
    words = page.view(np.uint32)
    value = 0
    for k in range(strength):
        value = (value + int(words[order[k % 1024]])) & MASK
        value = value * 257 & MASK
        value ^= value >> 12
    return value


def test_hashes_are_the_formula_s(tables: Tables) -> None:
    pages = np.random.default_rng(2).integers(-(2**63), 2**63 - 1, (3, 512))
    assert sorted(tables.words[:1024].tolist()) == list(range(1024))
    assert strongest(tables) == 1034
    for strength in (1, 2, 64, 1023, 1024, 1025, 1034):
        for pfn in range(3):
            assert change_strength(pages, tables, pfn, 0, 0, strength) == reference(pages[pfn], tables.words, strength)


def test_a_hash_can_be_made_stronger_and_weaker_without_reading_the_page_again(tables: Tables) -> None:
    random = np.random.default_rng(3)
    pages = random.integers(-(2**63), 2**63 - 1, (1, 512))
    value, at = 0, 0
    for to in random.integers(0, 1035, 60).tolist():
        before = int(tables.found[2])
        value = change_strength(pages, tables, 0, value, at, to)
        assert tables.found[2] - before == abs(to - at)  # what it costs: the words in between
        assert value == reference(pages[0], tables.words, to)
        at = to


def drive(strength: Strength, rounds: int, cost: dict[int, int] | None = None) -> list[int]:
    """Hash rounds of 100 pages each; cost: failed comparisons by strength, in words, else none."""
    return [
        strength.adjust(100 * max(0, 1024 - value), (cost or {}).get(value, 0), 100)
        for value in (strength.value for _ in range(rounds))
    ]


def test_it_starts_with_a_sixteenth_of_a_page() -> None:
    assert Strength(1024, 1034).value == 64


def test_without_failed_comparisons_it_gets_weaker_every_third_round() -> None:
    assert drive(Strength(1024, 1034), 10) == [64, 64, 64, 63, 63, 63, 61, 61, 61, 57]
    assert drive(Strength(1024, 1034), 100)[-1] == 1


def test_with_many_failed_comparisons_it_gets_stronger_at_once() -> None:
    strength = Strength(1024, 1034)
    assert drive(strength, 6, dict.fromkeys(range(1035), 10**6)) == [64, 65, 67, 71, 79, 95]
    assert drive(strength, 60, dict.fromkeys(range(1035), 10**6))[-1] == 1034


def test_steps_start_small_again_when_the_direction_turns() -> None:
    strength = Strength(1024, 1034)
    drive(strength, 4, dict.fromkeys(range(1035), 10**6))
    assert strength.value == 71
    assert drive(strength, 3) == [71, 71, 70]


def test_it_finds_the_best_strength_around() -> None:
    """Fewer failed comparisons with each word more, up to 75: weaker ones are tried first, then stronger."""
    cost = {s: 100 * max(10, 300 - 20 * (s - 60)) for s in range(1035)}
    strength = Strength(1024, 1034)
    values = drive(strength, 60, cost)
    assert min(values) == 57  # three worse ones in a row
    assert max(values) > 270  # until it is worse than where it started
    assert strength.value == 79  # of 65, 67, 71, 79, 95 … the best
    assert strength.phase == "still"


def test_it_stays_where_nothing_changes() -> None:
    cost = dict.fromkeys(range(1035), 100)
    assert set(drive(Strength(1024, 1034), 32, cost)) == {64}


def test_a_changed_benefit_makes_it_try() -> None:
    strength = Strength(1024, 1034)
    drive(strength, 3, dict.fromkeys(range(1035), 100))
    assert drive(strength, 3, dict.fromkeys(range(1035), 70_000)) == [64, 64, 63]  # three rounds far off
    assert strength.phase == "trying weaker"


def test_presets() -> None:
    full, medium, low, quiet = GOVERNORS
    assert full.shares() == [20, 40, 2375, 9500]
    assert full.samples(500) == [4000, 4000, 95_000, 95_000]
    assert medium.shares() == [20, 30, 1250, 5000]
    assert low.shares() == [10, 20, 1000, 2000]
    assert quiet.shares() == [10, 20, 40, 75]
    assert [governor.max_cpu for governor in GOVERNORS] == [95, 50, 20, 1]


@pytest.mark.parametrize("pages", [1, 7, 100, 5000])
def test_batches_are_divided_by_the_shares(pages: int) -> None:
    """Never further from the shares than a batch; nor after many, over which what is rounded off would add up."""
    shares, total = Shares(4), [0, 0, 0, 0]
    wanted = np.array([20, 40, 2375, 9500]) / 11_935 * pages
    watched, rounds = 40_000 // min(pages, 100), 400_000 // pages
    for number in range(1, 1 + max(watched, rounds)):
        given = shares.divide(pages, [20, 40, 2375, 9500])
        assert sum(given) == pages
        assert min(given) >= 0
        total = [sum(pair) for pair in zip(total, given, strict=True)]
        if number <= watched or number == rounds:
            assert np.abs(np.array(total) - number * wanted).max() <= max(2, pages)


def test_a_rung_without_slots_gets_nothing() -> None:
    shares = Shares(4)
    for _ in range(50):
        assert shares.divide(10, [20, 0, 0, 0]) == [10, 0, 0, 0]
    assert shares.divide(10, [20, 0, 0, 9500])[1:3] == [0, 0]
