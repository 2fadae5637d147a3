"""Every word of host memory that processes share, declared once.

The segment, one anonymous memory file, in this order, each part on a page boundary; areas, pool, folios, swaps and
kept and news come last:

    ┌─────────┬───────────────┬─────────┬──────────────┬──────────────┬──────────────────┬───────────────┬─────────────┐
    │ control │ mms           │ owners  │ page table   │ slots        │ hints            │ frame words   │ frames      │
    │ int64[] │ mm_dtype[mms] │ int32[] │ int64[pages] │ slot_dtype[] │ int64[mms, ring] │ int64[frames] │ int64[,]    │
    └─────────┴───────────────┴─────────┴──────────────┴──────────────┴──────────────────┴───────────────┴─────────────┘
      pool      an address      which mm  an entry for   where an       pages that each    count and KSM   the bytes;
      heads     space each      a block   each page of   absent page's  guest read from    node, or free   the swap
                                is        each guest     content is     or wrote to disk   list link       disk after

A page table entry (pte), an int64, from bit 0:

    0 PRESENT   1 WRITABLE   2 ACCESSED   3 DIRTY   4 SOFT   5 ZERO   6 PIN   7 MERGEABLE   8 MAPPED
    9-11 kind of a page that is not present (0 untouched, 1 patched, 2 compressed, 3 swapped, 4 one word repeated,
    5 guarded: whole, in the frame that the entry names)
    12-13 age in clock sweeps   14 HUGE   15 WHOLE   16-47 frame number   48 TABLE   49 NOHUGE

SOFT is set by every store and cleared only by a scanner that is about to look at the content: while it is
clear, what the scanner computed from the page still holds. ZERO marks a zero page that KSM placed. MAPPED,
MERGEABLE, HUGE and NOHUGE are the page's VMA, the latter two what was advised about huge pages. WHOLE: it is mapped
together with all of its two megabytes, by a huge page or (frame 0) the huge zero page. TABLE, of the first page of two
megabytes: these have a page table of their own, although there may be nothing in it. PIN is set by the owner while it
reads, stores or faults; nobody else changes a pinned entry. A page that is not present but of a kind keeps its content
elsewhere: the slot at its entry's index says where. A scanner fills the slot before it changes the entry; then it is
the owner's, until the page is present. A swapped page's entry names a record of swaps instead of a frame, as several
entries can name one: see host.swap_slot.
A guarded page needs no slot: its entry counts the frame, and nobody, not its owner either, may read or store there.

A frame word, an int64: bits 0-31 count (entries that map or guard the frame, slots whose content is in it or refers to
it, its place in the pool, a swap record in whose cache it is, the swap pool if compressed pages are in it, plus a
scanner's reference while it works on it);
bits 32-62 node: 0 ordinary, NO_NODE a KSM frame without stable node, else the stable node's index. Count 0: the frame
is free and the node bits link the free list. Frame 0 is the zero page; it is never counted nor freed. Beside it, in
folios, which huge page a frame is part of: a number that no other has had; 0: none. And in news, whether its bytes may
have changed: set by who allocates it, and before each store into it; cleared by who counts contents, while all stand.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

PRESENT = 1
WRITABLE = 2
ACCESSED = 4
DIRTY = 8
SOFT = 16
ZERO = 32
PIN = 64
MERGEABLE = 128
MAPPED = 256
KIND_SHIFT = 9
KIND_MASK = 7 << KIND_SHIFT
PATCHED = 1  # a patch, and the frame that it refers to
COMPRESSED = 2
SWAPPED = 3  # on the swap device: the entry names the record
FILLED = 4  # one word, all over the page
GUARDED = 5  # whole, in the frame that the entry names; any access makes a copy
AGE_SHIFT = 12
HUGE = 1 << 14
WHOLE = 1 << 15
FRAME_SHIFT = 16
FRAME_MASK = 0xFFFFFFFF
TABLE = 1 << 48
NOHUGE = 1 << 49
VMA_BITS = MAPPED | MERGEABLE | HUGE | NOHUGE | TABLE
HINT_RING = 1 << 13  # places for hints of one address space
AREAS = 512  # records of areas that one address space may have
POOL = 1 << 15  # places of the pool
CELLS = 32  # parts of a frame that holds compressed swapped pages
CACHED_SHIFT = 32

# Kinds of areas, as a system's memory mappings have them, and what it says of who uses them.
ANONYMOUS, STACK, GRAPHICS, FILES = 0, 1, 2, 3
UNKNOWN, FOREGROUND, BACKGROUND = 0, 1, 2

COUNT_MASK = 0xFFFFFFFF
NODE_SHIFT = 32
NO_NODE = 0x7FFFFFFF

# Words of the control block.
CTL_FRAMES = 0  # number of frames, the zero frame included
CTL_PER_NODE = 1  # frames of one NUMA node
CTL_NODES = 2  # NUMA nodes
CTL_NEXT_ENTRY = 3  # first page table entry that no address space has had
CTL_MMS = 4  # address spaces that have been made
CTL_STALE = 5  # KSM frames freed whose stable node has not noticed yet (never too few)
CTL_HINTS = 6  # whether guests are to leave hints
CTL_HEADS = 8  # + node: free list head, tag in the high half, frame in the low half
CTL_FRESH = 24  # + node: next frame that nobody has had
CTL_FREE = 40  # + node: length of the free list
CTL_POOL = 48  # places of the pool that are in use; 0: frames are taken as they come
CTL_DRAW = 49  # state of the draws from the pool
CTL_THP = 50  # whether there are huge pages: a mode of host.thp
CTL_RULES = 51  # how huge pages are dealt with: rules of host.thp
CTL_FOLIOS = 52  # huge pages made so far
CTL_THP_FAULT_ALLOC = 53  # from here, as /proc/vmstat counts
CTL_THP_FAULT_FALLBACK = 54
CTL_THP_COLLAPSE_ALLOC = 55
CTL_THP_SPLIT_PAGE = 56
CTL_THP_SPLIT_PAGE_FAILED = 57
CTL_THP_SPLIT_PMD = 58
CTL_SPLIT_ZEROS = 59  # pages of zeros that splits gave back, which nobody counts
CTL_FORKS = 60  # address spaces that were forked
CTL_SWAP = 61  # what swap device there is: SWAP_OFF, DISK, ZRAM or ZSWAP
CTL_SWAP_HEAD = 62  # free list of its records, as CTL_HEADS
CTL_SWAP_FRESH = 63  # next record that nobody has had
CTL_SWAP_FREE = 64  # length of the free list
CTL_SWAP_LIMIT = 65  # frames that compressed pages may take; beyond that, pages go to the disk (ZSWAP)
CTL_SWAP_FRAMES = 66  # frames that they take
CTL_SWAP_CURSOR = 67  # where room for them is looked for next
CTL_PSWPIN = 68  # from here, as /proc/vmstat counts
CTL_PSWPOUT = 69
CTL_KSM_SWPIN_COPY = 70
CTL_ZSWPIN = 71
CTL_ZSWPOUT = 72
CTL_WORDS = 80
MAX_NODES = 8
TAG_STEP = 1 << 32
TAG_MASK = 0x7FFFFFFF00000000

# Page table entries are handed out in blocks, so that an entry's owner is found by a shift.
BLOCK_SHIFT = 6
BLOCK = 1 << BLOCK_SHIFT

# Swap devices, and where the content of a swapped page is.
SWAP_OFF, DISK, ZRAM, ZSWAP = 0, 1, 2, 3
NOWHERE, ON_DISK, ONE_WORD, PACKED = 0, 1, 2, 3

MM_FREE = 0  # the record may be used for a new address space
MM_LIVE = 1
MM_DEAD = 2  # exited; a scanner may still hold records of its pages

mm_dtype = np.dtype(
    [
        ("state", "i8"),  # MM_FREE, MM_LIVE, MM_DEAD
        ("node", "i8"),  # NUMA node its frames come from
        ("heir", "i8"),  # whether it was forked from one that had stored something
        ("born", "i8"),  # how many were made before, and this one
        ("kin", "i8"),  # born of the oldest that it shares pages with by forks
        ("first", "i8"),  # its first page table entry
        ("pages", "i8"),  # its size in pages
        ("capacity", "i8"),  # entries reserved for it, whole blocks
        ("zero_pages", "i8"),  # entries with ZERO set (ksm_zero_pages)
        ("cow_ksm", "i8"),  # KSM frames copied because of a write or of unsharing (cow_ksm), guarded ones of any access
        ("cow_fork", "i8"),  # fork-shared frames copied because of a write
        ("zero_cow", "i8"),  # zero pages placed by KSM that a write replaced
        ("faults", "i8"),  # pages made present
        ("stores", "i8"),  # store operations
        ("unpatched", "i8"),  # pages rebuilt on access, by what they had been
        ("uncompressed", "i8"),
        ("swapped_in", "i8"),
        ("hint_top", "i8"),  # hints left so far; the last HINT_RING of them are there
        ("domain", "i8"),  # whom it trusts: a scanner may be told to share within a domain only
        ("name", "S48"),
    ]
)

# What a guest that is one system with many programs says of a run of its pages, as the kernel's own mappings would.
area_dtype = np.dtype(
    [
        ("first", "i8"),  # page of the address space
        ("pages", "i8"),  # how many; 0: no area
        ("kind", "i8"),  # ANONYMOUS, STACK, GRAPHICS or FILES
        ("state", "i8"),  # UNKNOWN, FOREGROUND or BACKGROUND
        ("owner", "i8"),  # number of the program; 0: the system
        ("turns", "i8"),  # how often state or owner changed
    ]
)

slot_dtype = np.dtype(
    [
        ("frame", "i4"),  # frame that holds the patch or the compressed bytes; counted by this slot
        ("reference", "i4"),  # frame that a patch refers to; counted by this slot
        ("offset", "u2"),  # of the first byte in the frame
        ("length", "u2"),  # in bytes
        ("codec", "u4"),  # number of the codec of a COMPRESSED page, in subpage.compression
        ("fill", "i8"),  # the word of a FILLED page
        ("hash", "i8"),  # XXH64 of the content, so that it can be counted without being rebuilt
    ]
)


swap_dtype = np.dtype(
    [
        ("count", "i8"),  # entries that name it, plus one while somebody works on it; 0: free
        ("frame", "i8"),  # swap cache: the frame in which the page is still, or again; counted; 0: none
        ("link", "i8"),  # next free record
        ("kin", "i8"),  # whose that frame is, if it is no KSM frame: kin of an address space ...
        ("page", "i8"),  # ... and which page of it
        ("place", "i8"),  # NOWHERE (in the cache only), ON_DISK, ONE_WORD or PACKED
        ("fill", "i8"),  # ONE_WORD: it
        ("length", "i8"),  # PACKED: bytes; as many as a page has: not compressed
        ("at0", "i8"),  # PACKED: the frame, or two frames, that hold them
        ("at1", "i8"),
        ("cells0", "i8"),  # which of their cells, a bit each
        ("cells1", "i8"),
        ("hash", "i8"),  # XXH64 of the content
    ]
)


class HostArrays(NamedTuple):
    """The segment as kernels see it."""

    ctl: npt.NDArray[np.int64]  # CTL_WORDS
    mms: npt.NDArray[Any]  # mm_dtype[mms]
    owners: npt.NDArray[np.int32]  # mm of each block of page table entries
    pte: npt.NDArray[np.int64]  # page table entries of all address spaces; entry 0 is never used
    slots: npt.NDArray[Any]  # slot_dtype, one for each page table entry
    hints: npt.NDArray[np.int64]  # (mms, HINT_RING): entries, see host.hints
    frames: npt.NDArray[np.int64]  # frame words
    words: npt.NDArray[np.int64]  # (frames, page_size // 8): the pages, as words
    bytes: npt.NDArray[np.uint8]  # (frames, page_size): the same, as bytes
    swap: npt.NDArray[np.int64]  # (records or 0, page_size // 8): the swap disk, not part of the host's memory
    areas: npt.NDArray[Any]  # (mms, AREAS) of area_dtype
    pool: npt.NDArray[np.int64]  # (POOL,): frames set aside, each counted by its place; 0: none
    folios: npt.NDArray[np.int32]  # which huge page each frame is part of; 0: none
    swaps: npt.NDArray[Any]  # swap_dtype, one for each page that the swap device can have; record 0 is never used
    kept: npt.NDArray[np.int64]  # of each frame: cells of it that compressed pages have, or in whose cache it is << 32
    news: npt.NDArray[np.uint8]  # of each frame: whether its bytes may be others than when somebody last looked


def align(offset: int) -> int:
    """The next page boundary."""
    return (offset + 4095) & ~4095


def offsets(mms: int, pages: int, frames: int, page_size: int, swaps: int, disk: bool) -> tuple[list[int], int]:
    """Where the parts start, in bytes, and the whole segment's size. swaps: records; disk: whether there is a disk."""
    sizes = [
        CTL_WORDS * 8,
        mms * mm_dtype.itemsize,
        (pages // BLOCK + 1) * 4,
        pages * 8,
        pages * slot_dtype.itemsize,
        mms * HINT_RING * 8,
        frames * 8,
        frames * page_size,
        swaps * page_size if disk else 0,
        mms * AREAS * area_dtype.itemsize,
        POOL * 8,
        frames * 4,
        swaps * swap_dtype.itemsize,
        frames * 8,
        frames,
    ]
    starts, end = [], 0
    for size in sizes:
        starts.append(end)
        end = align(end + size)
    return starts, end
