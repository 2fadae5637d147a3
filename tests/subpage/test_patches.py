"""Patches and packed pages: what comes back, how large they are, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmdedup.subpage import compression, delta
from vmdedup.subpage.compression import CODECS, Codec
from vmdedup.subpage.delta import DELTAS, Delta

FINDING = [kind for kind in DELTAS if kind != "words"]  # kinds that find what has moved


def random_page(seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(4096)


@st.composite
def made_pages(draw: st.DrawFn) -> bytes:
    """Noise, or a pattern, with pieces of it overwritten."""
    pattern = draw(st.binary(min_size=1, max_size=64))
    page = bytearray(random_page(draw(st.integers(0, 3))) if draw(st.booleans()) else (pattern * 4096)[:4096])
    for at, piece in draw(st.lists(st.tuples(st.integers(0, 4095), st.binary(min_size=1, max_size=16)), max_size=20)):
        page[at : at + len(piece)] = piece[: 4096 - at]
    return bytes(page)


PAGES = made_pages()


@given(PAGES, PAGES, st.sampled_from(DELTAS))
def test_patches_come_back(reference: bytes, page: bytes, kind: Delta) -> None:
    assert delta.unpatch(reference, delta.patch(reference, page, kind), kind) == page


@given(PAGES, st.sampled_from(CODECS))
def test_packed_pages_come_back(page: bytes, codec: Codec) -> None:
    assert compression.decompress(compression.compress(page, codec), codec) == page


@pytest.mark.parametrize(("changed", "most"), [(0, 32), (1, 32), (10, 120), (100, 1000)])
@pytest.mark.parametrize("kind", DELTAS)
def test_a_patch_is_as_large_as_the_difference(changed: int, most: int, kind: Delta) -> None:
    draw = np.random.default_rng(3)
    reference = random_page(1)
    page = bytearray(reference)
    for at in draw.choice(4096, changed, replace=False):
        page[at] ^= 0x55
    assert len(delta.patch(reference, bytes(page), kind)) <= most


@pytest.mark.parametrize("kind", DELTAS)
def test_the_same_page_is_next_to_nothing(kind: Delta) -> None:
    """Also when it is the very object."""
    page = random_page(1)
    for same in (page, bytes(bytearray(page))):
        packed = delta.patch(page, same, kind)
        assert len(packed) < 40
        assert delta.unpatch(page, packed, kind) == page


@pytest.mark.parametrize("kind", DELTAS)
def test_what_is_unlike_is_not_worth_a_patch(kind: Delta) -> None:
    assert len(delta.patch(random_page(1), random_page(2), kind)) > delta.CUT_OFF


def test_entropy_coding_makes_patches_of_pages_that_have_nothing_in_common() -> None:
    """So zstd is not what patches are made with: copies and new bytes leave such a page to compression."""
    draw = np.random.default_rng(5)
    nibbles, other = (draw.integers(0, 15, 4096, np.uint8) for _ in range(2))
    reference, page = bytes(nibbles + 16), bytes(other)
    assert len(delta.patch(reference, page, "zstd")) <= delta.CUT_OFF + 64
    assert len(delta.patch(reference, page)) > 3500


@pytest.mark.parametrize("kind", DELTAS)
def test_moved_content_is_found_but_by_words(kind: Delta) -> None:
    """A patch is no list of differing bytes: what stands elsewhere in the reference is taken from there."""
    reference = random_page(1)
    size = len(delta.patch(reference, reference[104:] + reference[:104], kind))
    assert size < 64 if kind in FINDING else size > 4096


def test_words_are_their_number_and_ten_bytes_each() -> None:
    reference = random_page(1)
    page = bytearray(reference)
    for at in (0, 7, 8, 4095):
        page[at] ^= 1
    assert len(delta.patch(reference, bytes(page), "words")) == 2 + 3 * 10
    for wrong in (b"", b"\1\0", b"\1\0\0\2" + bytes(8), b"\0\0" + bytes(10)):
        with pytest.raises(ValueError, match="patch of"):
            delta.unpatch(reference, wrong, "words")


def test_sizes_of_packed_pages() -> None:
    for codec in CODECS:
        assert len(compression.compress(bytes(4096), codec)) < 40
        assert len(compression.compress(random_page(1), codec)) > 4000
    text = b"".join(b"%d lines of text\n" % n for n in range(400))[:4096]
    sizes = {codec: len(compression.compress(text, codec)) for codec in CODECS}
    assert sizes["zstd"] < sizes["lz4"] < 4096
    assert sizes["zstd"] < sizes["lzo"] < 4096


def test_what_is_damaged_is_refused() -> None:
    reference, page = random_page(1), random_page(2)
    for kind in FINDING:
        whole, short = delta.patch(reference, page, kind), delta.patch(reference, page[:100], kind)
        for wrong in (b"", b"\0" * 9, whole[:-4], short):
            with pytest.raises(ValueError, match="patch of"):
                delta.unpatch(reference, wrong, kind)
    for codec in CODECS:
        for wrong in (b"", b"\xff" * 9, compression.compress(page, codec)[:-4], compression.compress(page[:99], codec)):
            with pytest.raises(ValueError, match="page"):
                compression.decompress(wrong, codec)


def test_unknown_codecs_are_refused() -> None:
    for call in (compression.compress, compression.decompress):
        with pytest.raises(ValueError, match="unknown codec"):
            call(bytes(4096), "zip")  # type: ignore[arg-type]
    for make in (delta.patch, delta.unpatch):
        with pytest.raises(ValueError, match="unknown kind of patch"):
            make(bytes(4096), bytes(4096), "xdelta")  # type: ignore[arg-type]
