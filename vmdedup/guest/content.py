"""Page contents made from keys: one 64-bit key, one page of 4096 bytes, always the same.

A page is cut into 16 pieces of 256 bytes; the key draws what each piece holds by the shares of a HeapMix.
Made in blocks that stay in a core's cache, with whole-array operations only.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vmdedup.guest.mixes import HeapMix
from vmdedup.guest.seeds import Stream, Words, below, fractions, mix, scatter
from vmdedup.units import PAGE_SIZE

Pages = NDArray[np.uint8]

FILLED_KEYS: Final = (PAGE_SIZE + 1) << 8  # keys below are of filled_pages

_PIECES: Final = 16
_PIECE_WORDS: Final = 32
_PIECE_BYTES: Final = 256
_BLOCK: Final = 64
_ALL: Final = (1 << 64) - 1
_OWN: Final = np.uint64(0xFFFF)  # of a key, where pages may be similar: what is the page's own
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_HEAP_BASE: Final = np.uint64(0x0000_5581_A000_0000)
_LIBRARY_BASE: Final = np.uint64(0x0000_7F3C_4000_0000)
_TEXT_BYTES: Final = 1 << 16
# fmt: off
_WORDS: Final = (
    "the", "of", "and", "to", "in", "is", "that", "for", "it", "as", "was", "with", "be", "by", "on", "not",
    "he", "his", "but", "at", "are", "this", "have", "from", "or", "had", "an", "they", "which", "one",
    "you", "were", "all", "her", "she", "there", "would", "their", "we", "him", "been", "has", "when",
    "who", "will", "no", "more", "if", "out", "so", "up", "said", "what", "its", "about", "than", "into",
    "them", "can", "only", "other", "time", "new", "some", "could", "these", "two", "may", "first", "then",
    "do", "any", "like", "my", "now", "over", "such", "our", "man", "me", "even", "most", "made", "after",
    "also", "did", "many", "before", "must", "through", "years", "where", "much", "your", "way", "well",
    "down", "should", "error", "warning", "info", "debug", "request", "response", "user", "session", "GET",
    "POST", "HTTP/1.1", "200", "404", "null", "true", "false", "id=", "name=", "/usr/lib", "/var/log",
    "/etc", "/tmp", ".conf", ".so", '{"key":', "}", "127.0.0.1", "2024-01-01T00:00:00Z",
)
# fmt: on


def heap_pages(page_keys: Words, heap: HeapMix) -> Pages:
    """One page for each key. page_keys: (n,). Returns (n, 4096) bytes."""
    out = np.zeros((len(page_keys), PAGE_SIZE), dtype=np.uint8)
    for start in range(0, len(page_keys), _BLOCK):
        block = slice(start, start + _BLOCK)
        _fill(out[block], page_keys[block], heap)
    return out


def heap_seeds(page_keys: Words, heap: HeapMix) -> tuple[Words, NDArray[np.bool_]]:
    """A word that stands for all that a heap page of heap_pages is made from, and whether the page is all zero.

    page_keys: (n,). Equal pages of a mix have equal words; both results are (n,).
    """
    if heap.zero_tail >= 1.0:
        return page_keys.copy(), np.ones(len(page_keys), dtype=np.bool_)
    if not heap.similar:
        last = scatter(page_keys + np.uint64((_PIECES + 1) * int(_STEP) & _ALL))
        return page_keys.copy(), below(last, heap.zero_pages)
    draws = _draws(page_keys, _PIECES + 2, similar=True)
    tails = _tail_words(draws[:, _PIECES + 1], heap.zero_tail)
    pieces = draws[:, :_PIECES].copy()
    if heap.repeated:
        pieces[:, 1:][below(mix(pieces[:, 1:] ^ _STEP), heap.repeated)] = 1  # as the first, whatever they drew
    pieces[np.arange(_PIECES) * _PIECE_WORDS >= (PAGE_SIZE // 8 - tails)[:, None]] = 0  # behind the end
    word = tails.astype(np.uint64)
    for column in pieces.T:
        word = scatter(word ^ column)
    return word, below(draws[:, _PIECES], heap.zero_pages)


def base_keys(page_keys: Words) -> Words:
    """Keys of pages to which others may be similar, from any keys (n,)."""
    return page_keys & ~_OWN


def similar_keys(page_keys: Words, own_keys: Words) -> Words:
    """Keys of pages like those of base_keys(page_keys): own_keys draw which pieces are others. All (n,)."""
    return base_keys(page_keys) | own_keys & _OWN


def random_pages(page_keys: Words) -> Pages:
    """One page of random bytes for each key. page_keys: (n,). Returns (n, 4096) bytes."""
    out = np.empty((len(page_keys), PAGE_SIZE // 8), dtype=np.uint64)
    for start in range(0, len(page_keys), _BLOCK):
        block = slice(start, start + _BLOCK)
        out[block] = _spread(page_keys[block], PAGE_SIZE // 8)
    return out.view(np.uint8)


def filled_key(byte: int, length: int = PAGE_SIZE) -> int:
    """The key of a page that begins with so many times one byte; the rest is zeros."""
    return length << 8 | byte


def filled_pages(page_keys: Words) -> Pages:
    """One page for each key of filled_key. page_keys: (n,). Returns (n, 4096) bytes."""
    lengths, bytes_ = page_keys >> np.uint64(8), (page_keys & np.uint64(0xFF)).astype(np.uint8)
    return np.where(np.arange(PAGE_SIZE, dtype=np.uint64) < lengths[:, None], bytes_[:, None], np.uint8(0))


def rolled(pages: Pages, shift: int) -> Pages:
    """The same bytes at other alignments: each page turned by shift bytes."""
    return np.roll(pages, shift, axis=1) if shift else pages


def _spread(seeds: Words, count: int) -> Words:
    """count words from each seed, (n, count)."""
    return scatter(seeds[:, None] + np.arange(1, count + 1, dtype=np.uint64) * _STEP)


def _fill(out: Pages, page_keys: Words, heap: HeapMix) -> None:
    draws = _draws(page_keys, _PIECES + 2, heap.similar > 0)
    live = np.flatnonzero(~below(draws[:, _PIECES], heap.zero_pages))
    seeds = draws[live, :_PIECES].ravel()
    pieces = _pieces(seeds, _kinds(seeds, heap))
    tails = _tail_words(draws[live, _PIECES + 1], heap.zero_tail)
    words = _repeated(pieces, seeds, heap.repeated).reshape(len(live), PAGE_SIZE // 8)
    words[np.arange(PAGE_SIZE // 8) >= (PAGE_SIZE // 8 - tails)[:, None]] = 0
    out[live] = words.view(np.uint8)


def _draws(page_keys: Words, count: int, similar: bool) -> Words:
    """Draws of a page, (n, count); of similar pages the same but for a quarter of the pieces."""
    if not similar:
        return _spread(page_keys, count)
    draws, own = _spread(base_keys(page_keys), count), _spread(page_keys, count)
    other = own & np.uint64(3) == 0
    other[:, _PIECES:] = False
    other[page_keys & _OWN == 0] = False
    return np.where(other, own, draws)


def _kinds(seeds: Words, heap: HeapMix) -> NDArray[np.int64]:
    """What each piece holds: 0 pointers, 1 integers, 2 text, 3 freed, 4 random bytes."""
    edges = np.cumsum([heap.pointers, heap.integers, heap.text, heap.freed])
    kinds: NDArray[np.int64] = np.searchsorted(edges, fractions(seeds) * max(1.0, edges[-1]), side="right")
    return kinds


def _tail_words(draws: Words, zero_tail: float) -> NDArray[np.int64]:
    """Zero words at each page's end: evenly spread, zero_tail of the page on average."""
    low = max(0.0, 2 * zero_tail - 1)
    high = min(1.0, 2 * zero_tail)
    return ((low + (high - low) * fractions(draws)) * (PAGE_SIZE // 8)).astype(np.int64)


def _pieces(seeds: Words, kinds: NDArray[np.int64]) -> Words:
    makers = (_pointers, _integers, _text, _freed, _random)
    out = np.empty((len(seeds), _PIECE_WORDS), dtype=np.uint64)
    for kind, make in enumerate(makers):
        chosen = np.flatnonzero(kinds == kind)
        out[chosen] = make(mix(seeds[chosen]))
    return out


def _repeated(pieces: Words, seeds: Words, share: float) -> Words:
    """The pieces, but for a share of them the first one of their page."""
    if not share:
        return pieces
    pages = pieces.reshape(-1, _PIECES, _PIECE_WORDS)
    again = below(mix(seeds ^ _STEP), share).reshape(-1, _PIECES, 1)
    return np.where(again, pages[:, :1], pages)


def _random(seeds: Words) -> Words:
    return _spread(seeds, _PIECE_WORDS)


def _pointers(seeds: Words) -> Words:
    return _addresses(_spread(seeds, _PIECE_WORDS))


def _addresses(words: Words) -> Words:
    base = np.where(words >> np.uint64(63), _LIBRARY_BASE, _HEAP_BASE)
    made = base + ((words & np.uint64(0x3F_FFFF)) << np.uint64(4))
    return np.where(words >> np.uint64(60) == 0, np.uint64(0), made)


def _integers(seeds: Words) -> Words:
    return _spread(seeds, _PIECE_WORDS) & np.uint64(0x0000_00FF_0000_0FFF)


def _text(seeds: Words) -> Words:
    starts = (seeds % np.uint64(_TEXT_BYTES)).astype(np.int64)
    return _text_windows()[starts].view(np.uint64)


def _freed(seeds: Words) -> Words:
    out = np.full((len(seeds), _PIECE_WORDS), np.uint64(0x6B6B_6B6B_6B6B_6B6B))
    out[:, 0] = _addresses(seeds)
    return out


@cache
def _text_windows() -> Pages:
    """Every window of 256 bytes of a fixed text, as a view of shape (_TEXT_BYTES, 256)."""
    stream = Stream(0x7E87)
    said = " ".join(_WORDS[i] for i in stream.integers(_TEXT_BYTES // 3, len(_WORDS)))
    text = np.frombuffer(said.encode()[: _TEXT_BYTES + _PIECE_BYTES - 1], dtype=np.uint8)
    return np.lib.stride_tricks.sliding_window_view(text, _PIECE_BYTES)
