"""Page contents from keys: stated shares, and the same bytes for the same key."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vmdedup.guest.anonymous import Anonymous
from vmdedup.guest.content import base_keys, heap_pages, random_pages, rolled, similar_keys
from vmdedup.guest.mixes import FILE_MIX, TEXT_MIX, HeapMix
from vmdedup.guest.process import Process
from vmdedup.guest.seeds import keys
from vmdedup.units import PAGE_SIZE

NOTHING = replace(TEXT_MIX, text=0.0)
NOBODYS = np.empty(0, np.int64)
NO_MEMORY: Any = None
SOME = keys(11, np.arange(3000))


def test_the_same_key_makes_the_same_page_wherever_it_stands() -> None:
    pages = heap_pages(SOME[:300], HeapMix())
    order = np.random.default_rng(1).permutation(300)
    assert np.array_equal(heap_pages(SOME[:300][order], HeapMix()), pages[order])
    assert len(np.unique(pages[pages.any(axis=1)], axis=0)) == np.count_nonzero(pages.any(axis=1))


def test_contents_are_the_same_on_every_machine() -> None:
    digest = hashlib.sha256(heap_pages(SOME[:200], HeapMix()).tobytes() + random_pages(SOME[:20]).tobytes())
    assert digest.hexdigest() == "5126be16f520cfcc615cb97115f595e221b0589c6c95c44b11096ddb2710d010"


def test_similar_pages_differ_in_a_quarter_of_their_pieces() -> None:
    mix = replace(NOTHING, similar=0.3)
    bases, own = SOME[:500], keys(12, np.arange(500))
    base = heap_pages(base_keys(bases), mix).reshape(500, 16, 256)
    pages = heap_pages(similar_keys(bases, own), mix).reshape(500, 16, 256)
    differing = (base != pages).any(axis=2)
    assert differing.mean() == pytest.approx(0.25, abs=0.02)
    assert differing.any(axis=1).mean() > 0.95
    assert (base != pages)[differing].mean() > 0.9


def test_heaps_of_a_program_are_alike_and_similar_for_the_stated_shares() -> None:
    mix = HeapMix(common=0.2, similar=0.5, zero_pages=0.0, zero_tail=0.2, repeated=0.0)
    first, second = (Process(7, seed, NOBODYS, NOBODYS, Anonymous(NO_MEMORY, random_pages)) for seed in (1, 2))
    pages = [heap_pages(process.initial_keys(1000, mix), mix).reshape(-1, 16, 256) for process in (first, second)]
    same = (pages[0] == pages[1]).all(axis=2).mean(axis=1)
    assert (same == 1).mean() == pytest.approx(0.2, abs=0.04)
    assert ((same > 0.25) & (same < 1)).mean() == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_zero_pages(share: float) -> None:
    pages = heap_pages(SOME, replace(FILE_MIX, zero_pages=share))
    assert (~pages.any(axis=1)).mean() == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_zero_tails(share: float) -> None:
    words = heap_pages(SOME[:1000], replace(NOTHING, zero_tail=share)).view(np.uint64) != 0
    tails = np.argmax(words[:, ::-1], axis=1) / 512
    assert tails.mean() == pytest.approx(share, abs=0.03)
    filled = [row[: int(np.flatnonzero(row)[-1]) + 1].mean() for row in words if row.any()]
    assert np.mean(filled) > 0.99


@pytest.mark.parametrize("kind", ["pointers", "integers", "text", "freed"])
def test_pieces_come_in_the_stated_share(kind: str) -> None:
    pieces = heap_pages(SOME[:500], replace(NOTHING, **{kind: 0.4})).reshape(-1, 256)
    assert np.mean([looks_like(kind, piece) for piece in pieces]) == pytest.approx(0.4, abs=0.03)


def looks_like(kind: str, piece: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> bool:
    """Whether all of a piece is of one kind; random bytes are of none."""
    words = piece.view(np.uint64)
    if kind == "pointers":
        high = words >> np.uint64(40)
        return bool(np.all((words == 0) | (high == 0x55) | (high == 0x7F)))
    if kind == "integers":
        return bool(np.all(piece.view(np.uint32) < 4096))
    if kind == "text":
        return bool(np.all((piece >= 32) & (piece < 127)))
    return bool(np.all(piece[8:] == 0x6B))


def test_random_pages_do_not_compress() -> None:
    counts = np.bincount(random_pages(SOME[:256]).reshape(-1), minlength=256)
    assert counts.std() / counts.mean() < 0.03


def test_rolling_keeps_bytes_and_moves_them() -> None:
    pages = random_pages(SOME[:4])
    moved = rolled(pages, 48)
    assert np.array_equal(moved[:, 48:], pages[:, : PAGE_SIZE - 48])
    assert np.array_equal(rolled(pages, 0), pages)
