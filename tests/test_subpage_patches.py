"""Patches and packed pages: what comes back, how large they are, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmdedup.subpage import compression, delta
from vmdedup.subpage.compression import CODECS, Codec


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


@given(PAGES, PAGES)
def test_patches_come_back(reference: bytes, page: bytes) -> None:
    assert delta.unpatch(reference, delta.patch(reference, page)) == page


@given(PAGES, st.sampled_from(CODECS))
def test_packed_pages_come_back(page: bytes, codec: Codec) -> None:
    assert compression.decompress(compression.compress(page, codec), codec) == page


@pytest.mark.parametrize(("changed", "most"), [(0, 32), (1, 32), (10, 120), (100, 900)])
def test_a_patch_is_as_large_as_the_difference(changed: int, most: int) -> None:
    draw = np.random.default_rng(3)
    reference = random_page(1)
    page = bytearray(reference)
    for at in draw.choice(4096, changed, replace=False):
        page[at] ^= 0x55
    assert len(delta.patch(reference, bytes(page))) <= most


def test_what_is_unlike_is_not_worth_a_patch() -> None:
    assert len(delta.patch(random_page(1), random_page(2))) > delta.CUT_OFF


def test_moved_content_is_found() -> None:
    """A patch is no list of differing bytes: what stands elsewhere in the reference is taken from there."""
    reference = random_page(1)
    assert len(delta.patch(reference, reference[100:] + reference[:100])) < 64


def test_sizes_of_packed_pages() -> None:
    for codec in CODECS:
        assert len(compression.compress(bytes(4096), codec)) < 40
        assert len(compression.compress(random_page(1), codec)) > 4000
    text = b"".join(b"%d lines of text\n" % n for n in range(400))[:4096]
    sizes = {codec: len(compression.compress(text, codec)) for codec in CODECS}
    assert sizes["zstd"] < sizes["lz4"] < 4096


def test_what_is_damaged_is_refused() -> None:
    reference, page = random_page(1), random_page(2)
    for wrong in (b"", b"\0" * 9, delta.patch(reference, page)[:-4], delta.patch(reference, page[:100])):
        with pytest.raises(ValueError, match="patch of"):
            delta.unpatch(reference, wrong)
    for codec in CODECS:
        for wrong in (b"", b"\xff" * 9, compression.compress(page, codec)[:-4], compression.compress(page[:99], codec)):
            with pytest.raises(ValueError, match="page"):
                compression.decompress(wrong, codec)


def test_unknown_codecs_are_refused() -> None:
    for call in (compression.compress, compression.decompress):
        with pytest.raises(ValueError, match="unknown codec"):
            call(bytes(4096), "zip")  # type: ignore[arg-type]
