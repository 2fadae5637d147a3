"""What kind of page it is: whether it holds addresses, how well it packs, what it is like.

A kernel and its programs are put at other addresses at each boot. So a page that holds an address of its own boot is
found in no other boot; a page without any may be. That is what tells apart the pages that are one guest's own for ever
from those that another guest may happen to have too (learn.sharing). 64-bit guests, little-endian.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vmdedup.subpage.compression import compress
from vmdedup.subpage.detector import HashSimilarityDetector
from vmdedup.units import PAGE_SIZE

Pages = NDArray[np.uint8]

ADDRESSES, PLAIN, UNSEEN = range(3)  # UNSEEN: a fingerprint only
CLASSES: Final = ("with addresses", "without addresses", "unseen")
LEVELS: Final = 16  # of compressibility: packed size in sixteenths of a page

_BLOCK: Final = 256  # pages at once
_WORDS: Final = PAGE_SIZE // 8
# Bits 40 to 47 of addresses of programs, their heaps, libraries and stacks; above them are zeros.
# Source: Linux, arch/x86/include/asm/elf.h, processor.h; arch/arm64/include/asm/elf.h (48 bits of address).
_PROGRAM: Final = np.isin(np.arange(256), (0x55, 0x56, 0x7E, 0x7F, 0xAA, 0xAB, 0xFF))
_NUMBERS: Final = np.uint64(0xFFFF_FFFF_0000_0000)  # from here on words are negative numbers, but for a kernel's text
_TEXT, _TEXT_END = np.uint64(0xFFFF_FFFF_8000_0000), np.uint64(0xFFFF_FFFF_F000_0000)
_MAPPED: Final = 0x88  # of bits 40 to 47, from here on: all memory, as a kernel maps it
_LIKE_SEED: Final = 0


def with_addresses(pages: Pages) -> NDArray[np.bool_]:
    """Which pages (n, 4096) hold an address of a kernel or of a program."""
    found = np.zeros(len(pages), np.bool_)
    for first in range(0, len(pages), _BLOCK):
        part = np.ascontiguousarray(pages[first : first + _BLOCK])
        found[first : first + _BLOCK] = _has_addresses(part)
    return found


def _has_addresses(pages: Pages) -> NDArray[np.bool_]:
    """A page has two words that agree in their upper half and look like addresses; one, if it can be nothing else."""
    words, top, next_byte = pages.view("<u8"), pages.view("<u2")[:, 3::4], pages[:, 5::8]
    kernel = (pages[:, 7::8] == 0xFF) & ((words < _NUMBERS) | ((words >= _TEXT) & (words < _TEXT_END)))
    looks_so = kernel | ((top == 0) & _PROGRAM[next_byte])
    rows = np.flatnonzero(looks_so.sum(axis=1) > 1)
    halves = np.where(looks_so[rows], words[rows] >> np.uint64(32), np.uint64(0)).astype(np.uint32)
    halves.sort(axis=1)
    mapped = (top == 0xFFFF) & (next_byte >= _MAPPED) & (next_byte < 0xFF) & (pages[:, 0::8] & 7 == 0)
    found: NDArray[np.bool_] = mapped.any(axis=1)
    found[rows] |= ((halves[:, 1:] == halves[:, :-1]) & (halves[:, 1:] > 0)).any(axis=1)
    return found


def levels(pages: Pages) -> NDArray[np.uint8]:
    """How well each page packs with lz4, from 0 (to nothing) to 16 (not at all)."""
    sizes = [min(PAGE_SIZE, len(compress(page.tobytes(), "lz4"))) for page in pages]
    packed: NDArray[np.uint8] = np.rint(np.array(sizes, np.float64) * LEVELS / PAGE_SIZE).astype(np.uint8)
    return packed


def signatures(pages: Pages) -> NDArray[np.uint64]:
    """By which pages are found alike, (n, 2); 0: nothing to go by, as that place holds zeros."""
    detector = HashSimilarityDetector(2, 1, 1, PAGE_SIZE, 64, _LIKE_SEED)
    found = detector.signatures(pages)
    zeros = detector.signatures(np.zeros((1, PAGE_SIZE), np.uint8))
    return np.where(found == zeros, np.uint64(0), found)


def like(found: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Groups of contents that are alike, by their signatures (n, 2): the number of the first of each; 0: like none.

    Row 0, zeros, is like none.
    """
    leader = np.arange(len(found), dtype=np.int32)
    for column in found.T:
        known = np.flatnonzero(column)
        _, firsts, which = np.unique(column[known], return_index=True, return_inverse=True)
        leader[known] = np.minimum(leader[known], known[firsts[which]])
    return without_single(leader)


def without_single(groups: NDArray[np.int32]) -> NDArray[np.int32]:
    """The same, with 0 for groups of one."""
    several = np.bincount(groups, minlength=1) > 1
    several[0] = False
    return np.where(several[groups], groups, 0).astype(np.int32)
