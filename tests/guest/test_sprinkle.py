"""Stores and reads drawn in one step are those that a stream draws heap by heap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmdedup.guest.anonymous import Anonymous
from vmdedup.guest.content import random_pages
from vmdedup.guest.seeds import Stream, keys
from vmdedup.guest.sprinkle import Sprinkler
from vmdedup.host.memory import Host
from vmdedup.host.space import Memory
from vmdedup.jit.draw import word

SIZES = st.lists(st.integers(0, 9), min_size=0, max_size=4)


def heaps_on(memory: Memory, sizes: list[int]) -> list[Anonymous]:
    """Heaps of so many pages, from the end of memory on."""
    heaps, end = [], memory.pages
    for number, size in enumerate(sizes):
        heap = Anonymous(memory, random_pages)
        heap.grow(np.arange(end - size, end)[::-1].copy(), keys(number, np.arange(size)))
        heaps.append(heap)
        end -= size
    return heaps


def drawn(stream: Stream, heaps: list[Anonymous], count: int, share: float) -> list[tuple[Anonymous, list[int]]]:
    """Pages of each heap, as the workload idle drew them one by one."""
    there = [heap for heap in heaps if len(heap)]
    if not count or not there:
        return []
    ends = np.cumsum([max(1, int(share * len(heap))) for heap in there]).tolist()
    found = []
    pages = sorted(stream.integers(count, ends[-1]).tolist())
    for heap, first, end in zip(there, [0, *ends], ends, strict=False):
        if mine := [page - first for page in pages if first <= page < end]:
            found.append((heap, mine))
    return found


def store_one_by_one(stream: Stream, heaps: list[Anonymous], count: int, share: float) -> None:
    for heap, pages in drawn(stream, heaps, count, share):
        places = 8 * stream.integers(len(pages), 512)
        heap.poke(np.array(pages), places, stream.words(len(pages)).view(np.uint8).reshape(-1, 8))


@given(st.integers(0, (1 << 64) - 1), st.integers(0, 1 << 40))
def test_a_word_is_the_streams(seed: int, number: int) -> None:
    assert int(word(np.uint64(seed), number)) == int(keys(seed, number)[0])


@given(
    SIZES, st.lists(st.tuples(st.integers(0, 12), st.sampled_from([0.05, 0.5, 1.0])), max_size=4), st.integers(0, 99)
)
def test_the_same_pages_hold_the_same_afterwards(sizes: list[int], turns: list[tuple[int, float]], seed: int) -> None:
    host = Host.create(200, mms=2)
    one, two = host.add(60), host.add(60)
    mine, theirs = heaps_on(one, sizes), heaps_on(two, sizes)
    stream, other = Stream(seed), Stream(seed)
    sprinkler = Sprinkler(one, stream)
    for count, share in turns:
        sprinkler.stores(mine, count, share)
        store_one_by_one(other, theirs, count, share)
        sprinkler.reads(mine, count)
        for heap, pages in drawn(other, theirs, count, 1.0):
            heap.touch(np.array(pages))
        if mine and turns:
            grown = np.array([len(mine) - 1 + sum(map(len, mine))])  # a page that nobody has yet
            for heaps in (mine, theirs):
                heaps[0].grow(grown, keys(7, grown))
    assert stream.drawn == other.drawn
    assert one.digest() == two.digest()
    assert one.counter("stores") == two.counter("stores")
    assert [heap.whole.tolist() for heap in mine] == [heap.whole.tolist() for heap in theirs]
    assert one.entries.astype(bool).tolist() == two.entries.astype(bool).tolist()
    host.close()


@pytest.mark.parametrize("count", [256, 257, 1000])
def test_many_at_once(count: int) -> None:
    host = Host.create(200, mms=2)
    one, two = host.add(60), host.add(60)
    mine, theirs = heaps_on(one, [30, 20]), heaps_on(two, [30, 20])
    Sprinkler(one, Stream(5)).stores(mine, count, 0.5)
    store_one_by_one(Stream(5), theirs, count, 0.5)
    assert one.digest() == two.digest()
    host.close()
