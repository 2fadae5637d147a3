"""The similarity detector against one that is slow and obvious, and on pages whose likeness is known."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vmdedup.subpage.detector import BLOCK, HashSimilarityDetector

Pages = NDArray[np.uint8]
OFFSETS = [[3520, 3968], [3584, 2112]]
SIGNATURES = [18202698624863097882, 2330992167702906216]


def random_pages(count: int, seed: int = 1, size: int = 4096) -> Pages:
    return np.random.default_rng(seed).integers(0, 256, (count, size), np.uint8)


def blocks(detector: HashSimilarityDetector, page: NDArray[np.uint8]) -> list[bytes]:
    """By group, the bytes that its signature is of."""
    return [b"".join(page[at : at + BLOCK].tobytes() for at in group) for group in detector.offsets]


class Plain:
    """HashSimilarityDetector(k, s), c with the blocks themselves for hashes."""

    def __init__(self, detector: HashSimilarityDetector) -> None:
        self.detector = detector
        self.tables: list[dict[bytes, list[int]]] = [{} for _ in range(detector.k)]

    def candidates(self, page: NDArray[np.uint8]) -> set[int]:
        wanted = zip(self.tables, blocks(self.detector, page), strict=True)
        return {number for table, content in wanted for number in table.get(content, [])}

    def remember(self, number: int, page: NDArray[np.uint8]) -> None:
        for table, content in zip(self.tables, blocks(self.detector, page), strict=True):
            if len(table.setdefault(content, [])) < self.detector.c:
                table[content].append(number)


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 5), st.data())
def test_against_the_obvious_one(k: int, s: int, c: int, seed: int, data: st.DataObject) -> None:
    """Full hashes find just what equal blocks would."""
    detector = HashSimilarityDetector(k, s, c, page_size=1024, bits=64, seed=seed)
    plain = Plain(detector)
    bases = random_pages(3, size=1024)
    pages = bases[data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=12))]
    for page in pages:
        for slot in data.draw(st.lists(st.integers(0, 15), max_size=6)):
            page[slot * BLOCK] ^= data.draw(st.integers(0, 1))
    signatures = detector.signatures(pages)
    for number, page in enumerate(pages):
        assert set(detector.candidates(signatures[number])) == plain.candidates(page)
        detector.remember(number, signatures[number])
        plain.remember(number, page)


@pytest.mark.parametrize("bits", [18, 64])
def test_planted_neighbours_are_found(bits: int) -> None:
    """A page that differs outside the blocks is found; one that differs in all of them is not."""
    detector = HashSimilarityDetector(2, 1, 1, bits=bits)
    base = random_pages(1)[0]
    elsewhere, everywhere, one = base.copy(), base.copy(), base.copy()
    places = {int(at) for at in detector.offsets.flat}
    other = next(at for at in range(0, 4096, BLOCK) if at not in places)
    elsewhere[other : other + BLOCK] ^= 0xFF
    for at in sorted(places):
        everywhere[at] ^= 1
    one[min(places)] ^= 1
    signatures = detector.signatures(np.stack([base, elsewhere, everywhere, one]))
    detector.remember(7, signatures[0])
    assert detector.candidates(signatures[1]) == [7]
    assert detector.candidates(signatures[2]) == []
    assert detector.candidates(signatures[3]) == [7], "one of k is enough"
    detector.forget()
    assert detector.candidates(signatures[0]) == []


def test_the_first_pages_of_a_signature_stay() -> None:
    signatures = HashSimilarityDetector().signatures(random_pages(1))[0]
    for c in (1, 2, 8):
        detector = HashSimilarityDetector(2, 1, c)
        kept = [detector.remember(number, signatures) for number in range(10)]
        assert kept == [number < c for number in range(10)]
        assert detector.candidates(signatures) == list(range(c))


@pytest.mark.parametrize("bits", [1, 8, 18, 64])
def test_signatures_have_so_many_bits(bits: int) -> None:
    signatures = HashSimilarityDetector(bits=bits).signatures(random_pages(4000))
    assert int(signatures.max()).bit_length() == bits
    if bits == 8:  # each as likely as any other
        counts = np.bincount(signatures[:, 0].astype(np.int64), minlength=256)
        assert counts.min() >= 1
        assert counts.max() <= 40


def test_blocks_lie_apart_and_depend_on_the_seed() -> None:
    for k, s in ((2, 1), (4, 2), (8, 8)):
        offsets = HashSimilarityDetector(k, s).offsets
        assert offsets.shape == (k, s)
        assert len(np.unique(offsets)) == k * s
        assert (offsets % BLOCK == 0).all()
        assert offsets.max() < 4096
    assert len({tuple(HashSimilarityDetector(seed=seed).offsets.flat) for seed in range(8)}) == 8


def test_signatures_never_change() -> None:
    """Results are compared over years: the same seed gives the same places and the same hashes."""
    detector = HashSimilarityDetector(2, 2, 1, bits=64, seed=5)
    page = np.frombuffer(hashlib.shake_128(b"page").digest(4096), np.uint8)
    assert detector.offsets.tolist() == OFFSETS
    assert detector.signatures(page[None])[0].tolist() == SIGNATURES
