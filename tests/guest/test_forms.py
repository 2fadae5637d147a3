"""Contents in both forms: fingerprints are equal where the bytes are, and 0 where these are zeros."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.guest_ram import DISK
from vmdedup.guest.content import base_keys, filled_key, similar_keys
from vmdedup.guest.diskspec import open_disk
from vmdedup.guest.filesystem import Filesystem
from vmdedup.guest.forms import BYTES, FINGERPRINTS, Form
from vmdedup.guest.mixes import FILE_MIX, IMAGE_MIX, SLAB_MIX, TEXT_MIX, HeapMix
from vmdedup.guest.seeds import keys
from vmdedup.guest.spec import Variant
from vmdedup.guest.variant import in_release
from vmdedup.host.fingerprints import fingerprints

MIXES = [HeapMix(), HeapMix(similar=0.5, zero_pages=0.3), HeapMix(zero_tail=1.0), SLAB_MIX, IMAGE_MIX, TEXT_MIX]
KEYS = st.lists(st.integers(0, 5) | st.integers(0, (1 << 64) - 1), min_size=1, max_size=12)


def check_alike(pages: np.ndarray, rows: np.ndarray) -> None:
    """The same pages are equal in both forms, and the same are zeros."""
    assert rows.shape == (len(pages), 8)
    for one, two in combinations(range(len(pages)), 2):
        assert np.array_equal(pages[one], pages[two]) == np.array_equal(rows[one], rows[two])
    assert pages.any(axis=1).tolist() == rows.any(axis=1).tolist()


@given(st.sampled_from(MIXES), KEYS, st.sampled_from([0, 48]))
def test_heaps(heap: HeapMix, words: list[int], shift: int) -> None:
    drawn = keys(1, np.array(words, dtype=np.uint64))
    drawn = np.concatenate((drawn, base_keys(drawn), similar_keys(drawn, keys(2, np.arange(len(drawn))))))
    check_alike(BYTES.heap(drawn, heap, shift), FINGERPRINTS.heap(drawn, heap, shift))


def test_another_mix_or_another_shift_is_another_content() -> None:
    drawn = keys(1, np.arange(4))
    made = [FINGERPRINTS.heap(drawn, mix, shift) for mix in (FILE_MIX, TEXT_MIX) for shift in (0, 16)]
    assert len({row.tobytes() for rows in made for row in rows}) == 16


def test_turned_pages() -> None:
    rows = FINGERPRINTS.of(np.repeat(np.arange(3, dtype=np.uint8), 4096).reshape(3, 4096))
    assert np.array_equal(FINGERPRINTS.turned(rows, 0), rows)
    assert FINGERPRINTS.turned(rows, 48).any(axis=1).tolist() == [False, True, True]
    assert np.array_equal(BYTES.turned(np.arange(8, dtype=np.uint8).reshape(1, 8), 1), [[7, 0, 1, 2, 3, 4, 5, 6]])


@pytest.mark.parametrize("differs", [0.0, 0.5])
def test_disks_are_hashed_once(differs: float, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = in_release(open_disk(DISK), Variant(differs=differs, seed=3))
    pages = np.array([5, 0, 5, 77, disk.index.pages - 1])
    expected = fingerprints(disk.read(pages))
    assert np.array_equal(FINGERPRINTS.disk(disk, pages), expected)
    monkeypatch.setattr(type(disk), "fill", None)
    assert np.array_equal(FINGERPRINTS.disk(disk, pages[::-1]), expected[::-1])


@pytest.mark.parametrize("form", [BYTES, FINGERPRINTS])
def test_files_that_a_guest_has_written(form: Form) -> None:
    files, plain = (Filesystem(open_disk(DISK), 64, 9, each) for each in (form, BYTES))
    for each in (files, plain):
        new = each.create(np.array([filled_key(7), filled_key(0), filled_key(7), 12345678901, 12345678901], np.uint64))
        each.rewrite(np.array([1, 3]))
    pages = np.concatenate((new, [0, 1, 2, 3]))
    rows = files.read(pages)
    if form is BYTES:
        assert np.array_equal(rows, plain.read(pages))
    else:
        check_alike(plain.read(pages), rows)


def test_mixes_are_told_apart_by_all_of_their_shares() -> None:
    drawn = keys(1, np.arange(2))
    made = FINGERPRINTS.heap(drawn, FILE_MIX), FINGERPRINTS.heap(drawn, replace(FILE_MIX, text=0.61))
    assert not np.array_equal(*made)
