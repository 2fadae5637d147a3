"""Who has what, against counting by hand: shares add up to what the host uses, the matrix is symmetric."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import xxhash

from kit.by_hand import mappings_by_hand, saved_by_hand
from vmdedup.host.memory import Host
from vmdedup.host.space import Memory
from vmdedup.run.backend.counting import ContentCounter, host_mappings, saved_pages
from vmdedup.run.measure.accounting import ZERO_HASH

PAGES = 24


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host.create(pages=PAGES * 8, mms=8)
    yield host
    host.close()


def fill(memory: Memory, pages: list[int], first: int) -> None:
    """Store a content of its own, made from a number, into each page; 0 is the page of zeros."""
    data = np.zeros((len(pages), 4096), np.uint8)
    data[:, 4095] = np.arange(first, first + len(pages)) if first else 0
    memory.write_pages(np.array(pages), data)


def family(host: Host) -> list[Memory]:
    """Three guests by fork, each with pages of its own, shared pages, zero pages and pages only read."""
    parent = host.add(PAGES, "a")
    fill(parent, list(range(10)), 1)
    fill(parent, [10, 11], 0)
    parent.touch(np.array([20, 21]))
    children = [parent.fork("b"), parent.fork("c")]
    fill(children[0], [0, 1, 2], 100)
    fill(children[1], [0, 10], 200)
    return [parent, *children]


def test_shares_add_up_to_what_the_host_uses(host: Host) -> None:
    guests = family(host)
    shares = host_mappings(host).shares()
    assert shares.allocated.sum() == 36
    assert shares.used.sum() == pytest.approx(host.frames_in_use())
    saved = shares.zero + shares.within + shares.between
    np.testing.assert_allclose(shares.allocated - shares.used, saved)
    assert all(shares.allocated[guest.mm] == 12 for guest in guests)


def test_each_kind_of_saving_by_hand(host: Host) -> None:
    family(host)
    shares = host_mappings(host).shares()
    zero, within, between = saved_by_hand(host)
    assert (zero, within) == (3, 0)
    assert shares.zero.sum() == pytest.approx(zero)
    assert shares.within.sum() == pytest.approx(within)
    assert shares.between.sum() == pytest.approx(between)
    assert saved_pages(host) == (zero, within, between)
    assert host_mappings(host).saved() == (zero, within, between)
    assert host.sharing()[1].sum(axis=0).tolist() == [zero, within, between]


def test_the_matrix_counts_frames_that_both_map(host: Host) -> None:
    a, b, c = (memory.mm for memory in family(host))
    matrix = host_mappings(host).matrix(zero=False)
    zeros = host_mappings(host).matrix(zero=True)
    frames = mappings_by_hand(host)
    for one in (a, b, c):
        for two in (a, b, c):
            both = {pfn for pfn, owners in frames.items() if one in owners and two in owners and one != two}
            zero = {pfn for pfn in both if not host.arrays.words[pfn].any()}
            assert matrix[one, two] == len(both - zero)
            assert zeros[one, two] == len(zero)
    assert (matrix[a, b], matrix[a, c], matrix[b, c]) == (7, 9, 7)


def test_nothing_mapped_is_nothing_shared(host: Host) -> None:
    host.add(PAGES, "a")
    mappings = host_mappings(host)
    assert mappings.shares().used.sum() == 0
    assert mappings.matrix(zero=False).sum() == 0
    assert ContentCounter().possible(host, 0, 0, zeros_are_free=False) == 0


def test_possible_counts_contents(host: Host) -> None:
    one, two = host.add(PAGES, "a"), host.add(PAGES, "b")
    fill(one, [0, 1, 2], 1)
    fill(two, [3, 4, 5], 2)
    assert ContentCounter().possible(host, 6, 0, zeros_are_free=False) == 6 - 4
    fill(one, [6, 7], 0)
    assert ContentCounter().possible(host, 8, 0, zeros_are_free=False) == 8 - 5
    assert ContentCounter().possible(host, 8, 0, zeros_are_free=True) == 8 - 4
    assert ContentCounter().possible(host, 9, 1, zeros_are_free=True) == 9 - 4


def test_zero_pages_that_ksm_placed_are_possible_too(host: Host) -> None:
    fill(host.add(PAGES, "a"), [0, 1], 1)
    assert ContentCounter().possible(host, 5, 3, zeros_are_free=False) == 2
    assert ContentCounter().possible(host, 5, 3, zeros_are_free=True) == 3


def test_the_hash_of_zeros() -> None:
    assert xxhash.xxh64_intdigest(bytes(4096)) == ZERO_HASH
