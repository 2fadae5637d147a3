"""Pages hashed, compared and copied, against Python's bytes and the xxhash package's own face."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import xxhash
from hypothesis import example, given
from hypothesis import strategies as st

from vmdedup.jit import page as jit

ROWS = 3


class Two(NamedTuple):
    """Two pages of the same size."""

    one: bytes
    two: bytes


@st.composite
def pages(draw: st.DrawFn) -> Two:
    """Two pages, often equal up to some byte, or altogether."""
    size = 8 * draw(st.sampled_from([1, 2, 3, 8, 64, 512]))
    seed = draw(st.integers(0, 2**32))
    one = np.random.default_rng(seed).bytes(size) if seed % 3 else bytes([seed % 256]) * size
    two = bytearray(one)
    for _ in range(draw(st.integers(0, 3))):
        two[draw(st.integers(0, size - 1))] = draw(st.integers(0, 255))
    return Two(one, bytes(two))


def rows(data: bytes, at: int) -> Any:
    """An array of pages, of which one holds the data and the others something else."""
    array = np.full((ROWS, len(data) // 8), 0x5A5A, np.int64)
    array[at] = np.frombuffer(data, np.int64)
    return array


def sign(number: int) -> int:
    """-1, 0 or 1."""
    return (number > 0) - (number < 0)


@given(pages())
@example(Two(bytes(4096), bytes(4096)))
def test_hashes_are_xxh64(two: Two) -> None:
    digest = xxhash.xxh64_intdigest(two.one)
    assert jit.hash_page(rows(two.one, 1), 1) % 2**64 == digest
    assert jit.checksum(rows(two.one, 2), 2) == digest % 2**32


def test_the_checksum_of_an_empty_page_is_the_kernels() -> None:
    """Read from a Linux 6.18 kernel."""
    assert jit.checksum(np.zeros((1, 512), np.int64), 0) == 0x32D8BBDB


@given(pages(), st.data())
def test_comparing_is_memcmp(two: Two, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(two.one)))
    one, other = two.one[start:], two.two[start:]
    expected = (one > other) - (one < other)
    assert sign(jit.compare_from(rows(two.one, 0), 0, rows(two.two, 2), 2, start)) == expected
    assert jit.same_page(rows(two.one, 1), 1, rows(two.two, 0), 0) == (two.one == two.two)


@given(pages())
def test_the_first_difference_is_found(two: Two) -> None:
    differing = [at for at, (a, b) in enumerate(zip(*two, strict=True)) if a != b]
    expected = differing[0] if differing else len(two.one)
    assert jit.first_difference(rows(two.one, 1), 1, rows(two.two, 2), 2) == expected


@given(pages())
def test_copying_and_clearing_touch_one_page(two: Two) -> None:
    source, target = rows(two.one, 2), rows(two.two, 1)
    others = target[[0, 2]].copy()
    jit.copy_page(target, 1, source, 2)
    assert target[1].tobytes() == two.one == source[2].tobytes()
    jit.clear_page(target, 1)
    assert target[1].tobytes() == bytes(len(two.one))
    assert (target[[0, 2]] == others).all()


@pytest.mark.checked
def test_a_page_that_does_not_exist_is_an_error_where_bounds_are_checked() -> None:
    array = np.zeros((ROWS, 8), np.int64)
    for function, arguments in (
        (jit.hash_page, (array, ROWS)),
        (jit.compare_from, (array, 0, array, ROWS, 0)),
        (jit.copy_page, (array, ROWS, array, 0)),
        (jit.clear_page, (array, ROWS)),
        (jit.first_difference, (array, ROWS, array, 0)),
    ):
        with pytest.raises(IndexError):
            function(*arguments)
