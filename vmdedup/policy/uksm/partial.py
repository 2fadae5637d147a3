"""Hashes of a part of a page that can be made stronger and weaker word by word. Kernels only.

A page is words of 32 bits, taken in a random order that is the same for all pages. The hash of strength n goes through
the first n. Each step can be undone, so the hash of another strength costs only the words in between.
Source: uksm 0.1.2.6, random_sample_hash and delta_hash.
"""

from __future__ import annotations

from typing import Any

from vmdedup.jit.kernel import kernel
from vmdedup.jit.prefetch import prefetch_word
from vmdedup.policy.uksm.layout import LINES, WORDS

MASK = 0xFFFFFFFF
MANY = 16  # words beyond which a page is asked for as a whole before it is hashed
LINE_WORDS = 8  # of 64 bits, a cache line


@kernel
def strongest(u: Any) -> int:
    """The greatest strength: all words of a page, and a few once more."""
    return len(u.words)


@kernel
def word_at(pages: Any, pfn: int, place: int) -> int:
    """A 32-bit word of a page. pages: int64[n, words of 64 bits]."""
    word: int = (pages[pfn, place >> 1] >> ((place & 1) << 5)) & MASK
    return word


@kernel
def fetch_words(pages: Any, u: Any, pfn: int, old: int, new: int) -> None:
    """Ask for the words that lie between two strengths; for many of them, for the page from its start to its end."""
    if abs(new - old) > MANY:
        for word in range(0, pages.shape[1], LINE_WORDS):
            prefetch_word(pages, pfn, word)
    else:
        for k in range(min(old, new), max(old, new)):
            prefetch_word(pages, pfn, u.words[k] >> 1)


@kernel
def count_words(u: Any, words: int) -> None:
    """Note that so many words of a page, at random places, are read and hashed."""
    u.found[WORDS] += words
    u.found[LINES] += u.lines[words]


@kernel
def change_strength(pages: Any, u: Any, pfn: int, digest: int, old: int, new: int) -> int:
    """The hash of strength new of a page whose hash of strength old is known (0 of strength 0); counts words read."""
    count_words(u, abs(new - old))
    return rekey(pages, u, pfn, digest, old, new)


@kernel
def rekey(pages: Any, u: Any, pfn: int, digest: int, old: int, new: int) -> int:
    """change_strength, without counting."""
    value = digest
    if abs(new - old) > MANY:
        fetch_words(pages, u, pfn, old, new)
    for k in range(old, new):
        # (value + word) * (1 + 2**8): so written, each word waits for the one before for fewer steps
        word = word_at(pages, pfn, u.words[k]) * 257
        value = ((value << 8) + (value + word)) & MASK
        value ^= value >> 12
    for k in range(old - 1, new - 1, -1):
        value ^= (value >> 12) ^ (value >> 24)
        # 1 / (1 + 2**8) modulo 2**32
        value = (value - (value << 8) + (value << 16) - (value << 24)) & MASK
        value = (value - word_at(pages, pfn, u.words[k])) & MASK
    return value
