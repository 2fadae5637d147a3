"""Hashes of a part of a page that can be made stronger and weaker word by word. Kernels only.

A page is words of 32 bits, taken in a random order that is the same for all pages. The hash of strength n goes through
the first n. Each step can be undone, so the hash of another strength costs only the words in between.
Source: uksm 0.1.2.6, random_sample_hash and delta_hash.
"""

from __future__ import annotations

from typing import Any

from vmdedup.jit.kernel import kernel
from vmdedup.policy.uksm.layout import WORDS

MASK = 0xFFFFFFFF


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
def change_strength(pages: Any, u: Any, pfn: int, digest: int, old: int, new: int) -> int:
    """The hash of strength new of a page whose hash of strength old is known (0 of strength 0)."""
    value = digest
    for k in range(old, new):
        value = (value + word_at(pages, pfn, u.words[k])) & MASK
        value = (value + (value << 8)) & MASK
        value ^= value >> 12
    for k in range(old - 1, new - 1, -1):
        value ^= (value >> 12) ^ (value >> 24)
        # 1 / (1 + 2**8) modulo 2**32
        value = (value - (value << 8) + (value << 16) - (value << 24)) & MASK
        value = (value - word_at(pages, pfn, u.words[k])) & MASK
    u.found[WORDS] += abs(new - old)
    return value
