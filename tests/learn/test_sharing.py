"""What boots share, and what that foretells: held against counting, and against kinds whose truth is known."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from vmdedup.learn.boot import Boot
from vmdedup.learn.classes import ADDRESSES, PLAIN, UNSEEN, levels, like, signatures, with_addresses
from vmdedup.learn.forecast import different, forecast, kind_of, saved_by
from vmdedup.learn.sharing import Series, sharing_of
from vmdedup.learn.variants import VARIANTS, chances, weights


def boots_of(sets: list[set[int]], pages: int = 4000) -> list[Boot]:
    made = []
    for number, held in enumerate(sets):
        contents = np.zeros(pages, np.int32)
        contents[: len(held)] = sorted(held)
        made.append(Boot(str(number), "raw", contents))
    return made


def drawn(boots: int, chance: Series, seed: int) -> list[set[int]]:
    rng = np.random.default_rng(seed)
    return [set((np.flatnonzero(rng.random(len(chance)) < chance) + 1).tolist()) for _ in range(boots)]


def test_what_is_known_is_counted_exactly() -> None:
    sets = drawn(4, np.array([1.0] * 50 + [0.5] * 100 + [0.1] * 300), 1)
    boots, classes = boots_of(sets), np.full(451, PLAIN, np.uint8)
    sharing = sharing_of(boots, classes)
    assert sharing.held(PLAIN) == sum(map(len, sets)) / 4
    for others, expected in enumerate(sharing.unshared(PLAIN)):
        new = total = both = 0
        for one in range(4):
            for some in combinations([n for n in range(4) if n != one], others):
                new += len(sets[one] - set().union(*(sets[n] for n in some)))
                both += len(sets[one].intersection(*(sets[n] for n in some)))
                total += len(sets[one])
        assert expected == pytest.approx(new / total)
        assert sharing.in_all(PLAIN)[others] == pytest.approx(both / total)


def test_so_many_guests_as_were_seen_save_what_they_save() -> None:
    boots = boots_of(drawn(3, np.array([1.0] * 500 + [0.3] * 900), 2))
    for classes in (np.full(1401, PLAIN, np.uint8), np.full(1401, ADDRESSES, np.uint8)):
        rows = forecast(kind_of(boots, sharing_of(boots, classes)), 3)
        assert rows[-1]["saved_mib"] == pytest.approx(saved_by(boots) / 256, abs=0.01)
        assert [row["guests"] for row in rows] == [1, 2, 3]
        assert rows[0]["between_mib"] == pytest.approx(0.0, abs=1e-9)


CHANCES = {
    "two kinds of pages": [1.0] * 1000 + [0.0005] * 1_000_000,
    "drawn evenly": [0.4] * 3000,
    "some drawn": [1.0] * 800 + [0.5] * 800 + [0.002] * 200_000,
    "by Zipf": list(np.minimum(1.0, 300 / np.arange(1, 20_000))),
}


@pytest.mark.parametrize("name", CHANCES)
def test_the_truth_lies_between_the_extremes(name: str) -> None:
    chance = np.array(CHANCES[name])
    rng = np.random.default_rng(7)
    seen = [np.flatnonzero(rng.random(len(chance)) < chance) + 1 for _ in range(2)]
    numbers = np.unique(np.concatenate(seen))
    boots = boots_of([set((np.searchsorted(numbers, each) + 1).tolist()) for each in seen])
    sharing = sharing_of(boots, np.full(len(numbers) + 1, PLAIN, np.uint8))
    for guests in (3, 4, 6, 12):
        truth = float((1 - (1 - chance) ** guests).sum())
        likely, least, most = different(kind_of(boots, sharing), guests)
        assert least - 120 <= truth <= most + 120
        assert least < likely < most


def test_pages_with_addresses_leave_nothing_open() -> None:
    boots = boots_of(drawn(2, np.array([1.0] * 500 + [0.01] * 50_000), 3), 2000)
    numbers = np.full(50_501, ADDRESSES, np.uint8)
    likely, least, most = different(kind_of(boots, sharing_of(boots, numbers)), 9)
    assert likely == least == most
    unseen = different(kind_of(boots, sharing_of(boots, np.full(50_501, UNSEEN, np.uint8))), 9)
    assert unseen[1] < unseen[0] <= likely
    assert unseen[2] == pytest.approx(likely)


def test_classes_of_pages() -> None:
    pages = np.zeros((7, 512), np.uint64)
    pages[1] = np.random.default_rng(1).integers(0, 1 << 63, 512, np.uint64) * 2
    pages[1][pages[1] >> np.uint64(48) == 0xFFFF] = 1
    pages[2, 100] = 0xFFFF_8881_2345_6000  # a kernel's memory
    pages[3, 7:9] = 0x7FFE_1234_5678, 0x7FFE_1234_9000  # a stack
    pages[4, 3:5] = 0xFF27_BA4F_C190_0000  # with five levels of page tables
    pages[5] = ~np.arange(512, dtype=np.uint64)  # small negative numbers
    pages[6, 9:12] = 0xFF27_BA4F_C190_0000, 0x7FFE_1234_5678, 0xFFFF_1234_E8C3_9055  # one of each may be chance
    assert with_addresses(pages.view(np.uint8)).tolist() == [False, False, True, True, True, False, False]
    assert levels(pages[:2].view(np.uint8)).tolist() == [0, 16]


def test_what_is_alike() -> None:
    pages = np.random.default_rng(2).integers(0, 256, (6, 4096), np.uint8)
    pages[0] = 0
    pages[3], pages[4] = pages[1], pages[1]
    pages[3, 4000:] = pages[4, 4000:] = 1
    pages[4, 200] += 1
    assert like(signatures(pages)).tolist() == [0, 1, 0, 1, 1, 0]


def test_variants_are_as_frequent_as_is_foretold() -> None:
    two_kinds: Series = np.array([1.0] + [0.4] * 15, np.float64)
    assert weights(two_kinds) == pytest.approx([0.6, 0, 0, 0, 0.4], abs=5e-3)
    evenly: Series = np.power(0.5, np.arange(16.0))
    assert weights(evenly) == pytest.approx([0, 1, 0, 0, 0], abs=0.02)
    for likely in (two_kinds, evenly, (two_kinds + evenly) / 2):
        # Of contents of one boot, the share that is alone, and the share that both have, by all that have so many.
        alone, both = chances(weights(likely), 1, 2), chances(weights(likely), 2, 2)
        all_in_all = likely[1] * alone + (1 - likely[1]) * both
        assert all_in_all == pytest.approx(weights(likely), abs=5e-3)
        assert alone[VARIANTS.index(1)] == 0.0
        assert both[-1] == 0.0
