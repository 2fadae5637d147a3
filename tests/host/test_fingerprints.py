"""Pages that stand for contents: equal where bytes are, through the same stores."""

from __future__ import annotations

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from vmdedup.errors import HostError
from vmdedup.host.fingerprints import FingerprintMemory, altered, changes, fingerprints
from vmdedup.host.memory import Host

PAGES, CONTENTS = 6, 4
# Store a whole content, store some bytes somewhere, discard, read; to which page of which guest.
STORES = st.lists(
    st.tuples(
        st.sampled_from(["whole", "part", "discard", "read"]),
        st.integers(0, 1),
        st.integers(0, PAGES - 1),
        st.integers(0, CONTENTS - 1),
    ),
    max_size=30,
)


def content(number: int) -> np.ndarray:
    """Zeros, or bytes that are like no other's."""
    return np.full((1, 4096), number, np.uint8)


def host_of_fingerprints() -> Host:
    return Host.create(2 * PAGES, mms=2, page_size=8, stands_for=4096)


@given(STORES)
def test_pages_that_saw_equal_stores_are_equal_and_others_are_not(stores: list[tuple[str, int, int, int]]) -> None:
    """The oracle keeps what was stored into each page since it was last stored as a whole; nothing else counts."""
    host = host_of_fingerprints()
    guests = [host.add(PAGES), host.add(PAGES)]
    told: dict[tuple[int, int], tuple[object, ...]] = {(g, p): (0,) for g in (0, 1) for p in range(PAGES)}
    for what, guest, page, value in stores:
        pages = np.array([page])
        if what == "whole":
            guests[guest].write_pages(pages, content(value))
            told[guest, page] = (value,)
        elif what == "part":
            guests[guest].write(page, bytes([value + 1] * (value + 1)), offset=8 * value)
            told[guest, page] += ("part", value)
        elif what == "discard":
            guests[guest].discard(pages)
            told[guest, page] = (0,)
        else:
            guests[guest].touch(pages)
    seen = {key: guests[key[0]].read(key[1]) for key in told}
    for one in told:
        for two in told:
            assert (seen[one] == seen[two]) == (told[one] == told[two]), (one, two)
        assert (seen[one] == bytes(8)) == (told[one] == (0,))
    host.check()
    host.close()


def test_a_fingerprint_is_the_hash_of_the_bytes_less_that_of_zeros() -> None:
    pages = np.random.default_rng(1).integers(0, 256, (3, 4096), dtype=np.uint8)
    pages[1] = 0
    zeros = xxhash.xxh64_intdigest(bytes(4096))
    expected = [xxhash.xxh64_intdigest(page.tobytes()) ^ zeros for page in pages]
    assert fingerprints(pages).view(np.uint64).reshape(-1).tolist() == expected
    assert expected[1] == 0
    assert fingerprints(pages[:0]).shape == (0, 8)


def test_what_a_store_makes_of_a_fingerprint_is_foretold() -> None:
    host = host_of_fingerprints()
    memory = host.add(PAGES)
    assert isinstance(memory, FingerprintMemory)
    numbers, places = np.arange(4), np.array([0, 1, 4091, 7])
    rows = np.random.default_rng(2).integers(0, 256, (4, 8), dtype=np.uint8)
    runs = np.random.default_rng(3).integers(0, 256, (4, 5), dtype=np.uint8)
    memory.write_pages(numbers, rows)
    memory.write_bytes(numbers, places, runs)
    assert np.array_equal(memory.read_pages(numbers), altered(rows, changes(places, runs)))
    for wrong in (np.array([4092, 0, 0, 0]), np.array([-1, 0, 0, 0])):
        with pytest.raises(HostError, match="a store of 5 bytes does not fit into a page of 4096"):
            memory.write_bytes(numbers, wrong, runs)
    host.close()


def test_where_and_how_long_a_store_is_counts() -> None:
    made = [changes(np.array([place]), np.full((1, length), 7, np.uint8))[0] for place in (0, 8) for length in (1, 8)]
    assert len(set(made)) == 4


def test_a_host_of_fingerprints_swaps_as_many_pages_as_one_of_bytes() -> None:
    from vmdedup.host.swap_device import SwapDevice

    device = SwapDevice("disk", size=64 * 4096)
    hosts = [Host.create(64, swap=device), Host.create(64, swap=device, page_size=8, stands_for=4096)]
    assert len({len(host.arrays.swaps) for host in hosts}) == 1
    assert hosts[1].arrays.swap.nbytes * 512 == hosts[0].arrays.swap.nbytes
    for host in hosts:
        host.close()
