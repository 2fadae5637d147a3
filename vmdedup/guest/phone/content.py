"""What pages of apps hold, each made from a key whose top two bits say what it is.

own      62 bits of its own                   heap content that nothing else has
common   number                               one of a few contents that many processes have; some are one word
similar  zygote's page (22) · changes (40)    that page with a few words changed
graphics 62 bits of its own                   colours: what neighbouring pixels have in common compresses
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vmdedup.guest.content import Pages, heap_pages, random_pages
from vmdedup.guest.mixes import HeapMix
from vmdedup.guest.phone.parameters import PhoneParameters
from vmdedup.guest.seeds import Words, keys, mix, split_seed
from vmdedup.units import PAGE_SIZE

OWN, COMMON, SIMILAR, GRAPHICS = range(4)
COMMON_CONTENTS = 64  # contents that are in many heaps, the first FILLED of them one word all over
FILLED = 4
_CLASS = np.uint64(62)
_BASE = np.uint64(40)
_LOW = np.uint64((1 << 40) - 1)
_REST = np.uint64((1 << 62) - 1)
_BASES = np.uint64((1 << 22) - 1)


class AppContent:
    """Makes keys and contents. seed: of all that phones of one system have in common. bases: pages of the zygote."""

    def __init__(self, given: PhoneParameters, heap: HeapMix, seed: int, bases: int) -> None:
        self._given = given
        self._heap = replace(heap, zero_pages=0.0)
        self._seed = seed
        self._bases = max(1, bases)

    def zygote_keys(self) -> Words:
        """Keys of the zygote's heap."""
        return self._base_keys(np.arange(self._bases, dtype=np.uint64))

    def _base_keys(self, numbers: Words) -> Words:
        return keys(split_seed(self._seed, "zygote"), numbers) & _REST

    def heap_keys(self, own: Words, identical: float) -> Words:
        """Keys of heap pages, one for each key that nobody else has. identical: the share that others have too."""
        drawn = (mix(own) >> np.uint64(11)).astype(np.float64) * 2.0**-53
        rest = mix(own ^ np.uint64(0x5EED))
        kind = np.where(drawn < identical, COMMON, np.where(drawn < identical + self._given.similar, SIMILAR, OWN))
        common = self._common(drawn / max(identical, 1e-9), rest)
        similar = ((rest >> _BASE) % np.uint64(self._bases) << _BASE) | (rest & _LOW)
        low = np.select([kind == COMMON, kind == SIMILAR], [common, similar], rest & _REST)
        return (kind.astype(np.uint64) << _CLASS) | low

    def _common(self, place: np.ndarray, rest: Words) -> Words:
        """Which of the common contents: those of one word for the first part of all places in 0 to 1."""
        others = np.uint64(FILLED) + rest % np.uint64(COMMON_CONTENTS - FILLED)
        return np.where(place < self._given.zeros, rest % np.uint64(FILLED), others)

    def graphics_keys(self, own: Words) -> Words:
        """Keys of graphics buffers."""
        return (np.uint64(GRAPHICS) << _CLASS) | (own & _REST)

    def make(self, page_keys: Words) -> Pages:
        """Contents (n, 4096) from keys (n,)."""
        out = np.empty((len(page_keys), PAGE_SIZE), dtype=np.uint8)
        makers = (self._own, self._shared, self._similar, self._graphics)
        kinds = (page_keys >> _CLASS).astype(np.int64)
        for kind, maker in enumerate(makers):
            chosen = np.flatnonzero(kinds == kind)
            if len(chosen):
                out[chosen] = maker(page_keys[chosen] & _REST)
        return out

    def _own(self, low: Words) -> Pages:
        return heap_pages(low, self._heap)

    def _shared(self, low: Words) -> Pages:
        out = heap_pages(keys(split_seed(self._seed, "common"), low), self._heap)
        filled = low < FILLED
        # Zeros first: by far the most frequent word, and then patterns of allocators.
        words = np.array([0, 0, 0, 0x6B6B6B6B6B6B6B6B], dtype=np.uint64)
        out[filled] = np.repeat(words[low[filled].astype(np.int64)][:, None], PAGE_SIZE // 8, axis=1).view(np.uint8)
        return out

    def _similar(self, low: Words) -> Pages:
        out = heap_pages(self._base_keys((low >> _BASE) & _BASES), self._heap).view(np.uint64)
        count = self._given.changed_words
        drawn = keys(split_seed(self._seed, "changes"), low[:, None] + np.arange(2 * count, dtype=np.uint64) * _LOW)
        rows = np.arange(len(low))[:, None]
        out[rows, (drawn[:, :count] % np.uint64(PAGE_SIZE // 8)).astype(np.int64)] = drawn[:, count:]
        return out.view(np.uint8)

    def _graphics(self, low: Words) -> Pages:
        """Eight pixels in a row have one colour, with noise in the lowest bits."""
        noise = random_pages(low)
        colours = np.repeat(noise[:, ::32], 32, axis=1)
        return colours ^ (noise & np.uint8(3))
