"""Generations of pages: who was not used for longest goes first, whoever maps it, in order of addresses."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vmdedup.host.layout import ACCESSED
from vmdedup.host.memory import Host
from vmdedup.host.reclaim import MOST, Generations
from vmdedup.host.space import Memory


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host.create(256)
    yield made
    made.close()


def filled(host: Host, pages: int) -> Memory:
    memory = host.add(pages)
    memory.write_pages(np.arange(pages), np.arange(pages * 4096, dtype=np.int64).astype(np.uint8).reshape(pages, 4096))
    return memory


def pages_of(memory: Memory, entries: np.ndarray[tuple[int], np.dtype[np.int64]]) -> list[int]:
    return (entries - int(memory.host.arrays.mms[memory.mm]["first"])).tolist()


def test_pages_go_in_order_and_those_used_since_they_were_looked_at_stay(host: Host) -> None:
    memory = filled(host, 20)
    ages = Generations(host)
    assert pages_of(memory, ages.take(4)) == [0, 1, 2, 3]
    walks = ages.walks
    assert walks <= MOST
    assert not (memory.entries & ACCESSED).any(), "a walk clears them"
    memory.touch(np.array([4, 6]))
    assert pages_of(memory, ages.take(4)) == [5, 7, 8, 9]
    assert ages.walks == walks, "no walk while there are pages of the oldest generation"


def test_what_is_used_again_and_again_outlives_what_is_not(host: Host) -> None:
    memory = filled(host, 30)
    ages, gone = Generations(host), []
    ages.take(0)
    for _ in range(20):
        memory.touch(np.arange(10))
        gone += pages_of(memory, ages.take(1))
    assert gone == list(range(10, 30))


def test_a_frame_is_as_young_as_the_youngest_that_maps_it_and_goes_once(host: Host) -> None:
    memory = filled(host, 4)
    child = memory.fork()
    ages = Generations(host)
    ages.take(0)
    child.touch(np.array([1]))
    taken = ages.take(8)
    assert pages_of(memory, taken) == [0, 2, 3]
    memory.discard(np.array([0, 2, 3]))
    child.discard(np.array([0, 2, 3]))
    assert pages_of(memory, ages.take(8)) == [1]


def test_what_has_gone_meanwhile_and_the_zero_page_are_left_out(host: Host) -> None:
    memory = filled(host, 6)
    other = host.add(3)
    other.touch(np.arange(3))
    ages = Generations(host)
    assert pages_of(memory, ages.take(2)) == [0, 1]
    memory.discard(np.array([2, 3]))
    assert pages_of(memory, ages.take(9)) == [4, 5]
    memory.exit()
    assert len(ages.take(9)) == 0
