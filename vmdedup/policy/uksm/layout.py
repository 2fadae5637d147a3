"""The records that the UKSM policy keeps, declared once. They are private to its process.

A *slot* is a region of an address space, the kernel's vma_slot: guests have one mapping each here, so it is cut into
regions of fixed size. Slots stand on the rungs of a ladder. What is looked for by hash stands in two indices: the
stable one of shared frames (by frame number) and the unstable one of pages (by entry number); where the kernel has
red-black trees, these are chains of equal hash bits, which find the same.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vmdedup.host.layout import BLOCK, BLOCK_SHIFT

RUNGS = 4
LINE_WORDS = 16  # 32-bit words of a cache line
HASH_EXTRA = 10  # the strongest hash goes on with the first ten words of its order once more

# Flags of what is in an index.
LINKED = 1  # it is in the index
HAS_TOP = 2  # it stands in a second level, by its strongest hash too
MERGED = 4  # pages only: merged, as far as this policy knows
TOP_KNOWN = 8  # pages only: top is the page's strongest hash as long as strength is not 0
NOT_ZERO = 16  # pages only: the page is not empty, as long as strength is not 0

# What stands in an index: what a visit touches of one thing lies together, in half a cache line. Flags are apart: of
# merged pages a visit looks at nothing else.
member_dtype = np.dtype(
    [
        ("next", "i4"),  # neighbours in its chain, 0 at its ends
        ("prev", "i4"),
        ("key", "i8"),  # hash, 32 bits
        ("top", "i8"),  # strongest hash, 32 bits
        ("strength", "i4"),  # pages only: what key is of, as long as nobody stores to the page; 0: nothing is known
        ("unused", "i4"),
    ]
)
chain_dtype = np.dtype([("head", "i4"), ("crowded", "i4")])

slot_dtype = np.dtype(
    [
        ("mm", "i4"),  # its address space; 0: free
        ("rung", "i4"),
        ("next", "i4"),  # neighbours on the rung, 0 at its ends
        ("prev", "i4"),
        ("first", "i8"),  # its first page's entry
        ("pages", "i8"),
        ("scanned", "i8"),  # pages visited since it was last gone through
        ("sampled", "i8"),  # pages visited since it was last judged
        ("merged", "i8"),  # of these, merged
        ("cowed", "i8"),  # merged pages of it that were stored to since then
        ("gained", "i8"),  # merges of its pages, with it or into it, in this global round
        ("lost", "i8"),  # merged pages stored to in this global round
        ("cow_seen", "i8"),  # its address space's copies of merged pages when they were last looked for
        ("done", "i8"),  # whether it was gone through in this global round
    ]
)

rung_dtype = np.dtype(
    [
        ("first", "i8"),  # its slots
        ("last", "i8"),
        ("current", "i8"),  # slot that is being sampled; 0: a round is to begin
        ("offset", "i8"),  # where in that slot's pages the next sample stands
        ("step", "i8"),  # pages from sample to sample
        ("pages", "i8"),  # of all its slots
        ("slots", "i8"),
        ("wanted", "i8"),  # samples of a round
    ]
)

# Words of the state.
STRENGTH = 0  # words of a page that are hashed
ZERO_KEY = 1  # hash of the zero page at that strength
POSITIVE = 2  # words that were not read, since the strength was last judged
NEGATIVE = 3  # words' worth of comparisons that failed, since then
PAGES_HASHED = 4  # since then
COMPARE_COST = 5  # comparing two pages, in words hashed
ABUNDANT = 6  # per cent of samples merged from which on a slot goes up
THRASH = 7  # per cent of merged pages stored to beyond which it does not
RANDOM = 8  # state of a generator
TO_DO = 9  # slots that were not gone through yet in this global round
ROUNDS = 10  # global rounds
OWN_TOP = 11  # strongest hash of the page at hand, -1: not computed
STATE_WORDS = 12

# Words of what is counted.
VISITED = 0  # places looked at
SCANNED = 1  # pages among them that had a content
WORDS = 2  # words hashed
COMPARED = 3  # whole pages compared
PAGES_MERGED = 4
ZERO_MERGED = 5
COLLISIONS = 6  # equal hashes, different contents
GIVEN_UP = 7  # of these, with equal strongest hashes: not merged
STALE = 8  # pages of the unstable index that had changed
COWED = 9
PROMOTED = 10
DEMOTED = 11
REKEYED = 12  # shared frames whose hash was made stronger or weaker
LINES = 13  # cache lines read for hashing
STEPS = 14  # steps down the kernel's trees of hashes, where chains are gone through here
TAKEN = 15  # pages whose own frame was made a shared one
FOUND_WORDS = 16


class Index(NamedTuple):
    """What has which hash: chains of numbers, 0 ends them. But for flags, fields of chain_dtype and member_dtype."""

    size: npt.NDArray[np.int64]  # [1]: how many are in it
    heads: npt.NDArray[np.int32]  # [power of two]
    crowded: npt.NDArray[np.int32]  # for each head: whether equal hashes of different contents were seen in its chain
    next: npt.NDArray[np.int32]  # this and all that follow: for each number
    prev: npt.NDArray[np.int32]
    key: npt.NDArray[np.int64]
    top: npt.NDArray[np.int64]
    strength: npt.NDArray[np.int32]
    flags: npt.NDArray[np.uint8]


class Tables(NamedTuple):
    """All of it as kernels see it."""

    stable: Index  # by frame
    unstable: Index  # by entry
    slots: npt.NDArray[Any]  # slot_dtype
    slot_of: npt.NDArray[np.int32]  # slot of each block of page table entries
    order: npt.NDArray[np.int32]  # by entry: page of its slot that is visited as the how manieth
    words: npt.NDArray[np.int32]  # the order in which words of a page are hashed; the first ten once more at its end
    lines: npt.NDArray[np.int32]  # by strength: cache lines in which so many of these words lie
    rungs: npt.NDArray[Any]  # rung_dtype[RUNGS]
    state: npt.NDArray[np.int64]  # STATE_WORDS
    found: npt.NDArray[np.int64]  # FOUND_WORDS


def _make_index(count: int) -> Index:
    chains = np.zeros(1 << max(4, (count // 2).bit_length()), chain_dtype)
    members = np.zeros(count, member_dtype)
    return Index(
        size=np.zeros(1, np.int64),
        heads=chains["head"],
        crowded=chains["crowded"],
        next=members["next"],
        prev=members["prev"],
        key=members["key"],
        top=members["top"],
        strength=members["strength"],
        flags=np.zeros(count, np.uint8),
    )


def _lines_of(words: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """For each strength from 0 on, in how many cache lines its words lie."""
    _, first = np.unique(words // LINE_WORDS, return_index=True)
    is_new = np.zeros(len(words) + 1, np.int32)
    is_new[first + 1] = 1
    return np.cumsum(is_new, dtype=np.int32)


def make_tables(frames: int, entries: int, mms: int, page_words: int, random: np.random.Generator) -> Tables:
    """Empty tables. page_words: 32-bit words of a page, hashed in a random order that stays."""
    blocks = (entries >> BLOCK_SHIFT) + 1
    words = np.resize(random.permutation(page_words), page_words + HASH_EXTRA).astype(np.int32)
    return Tables(
        stable=_make_index(frames),
        unstable=_make_index(entries),
        slots=np.zeros(entries // BLOCK + mms + 2, slot_dtype),
        slot_of=np.zeros(blocks, np.int32),
        order=np.zeros(entries, np.int32),
        words=words,
        lines=_lines_of(words),
        rungs=np.zeros(RUNGS, rung_dtype),
        state=np.zeros(STATE_WORDS, np.int64),
        found=np.zeros(FOUND_WORDS, np.int64),
    )
