"""The records that the ESX policy keeps, declared once. They are private to its process.

One global hash table with chaining. A frame is 16 bytes and is one of two things: a *shared frame* names the machine
page of a shared content and counts who maps it; a *hint frame* names a guest page that had such a content when it was
scanned, with a truncated hash, since the guest page's name takes the room. A chain ends with its bucket's number, so
that a frame that has to go is found from anywhere. Bits of the hash that choose the bucket are not kept a second time:
from 65,536 buckets on (256 MiB of host memory) a shared frame has all 64.
Source: waldspurger2002, sections 4.1 and 4.2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

# Frame 0 is nobody. Frame 1 is always there: the shared frame of the zero page.
ZERO_FRAME = 1

frame_dtype = np.dtype(
    [
        ("link", "i4"),  # next of the chain; -1 - bucket at its end; free: the next free one
        ("page", "i4"),  # shared: the machine page (frame of the host); hint: the page within its guest
        ("high", "u4"),  # the hash's upper 32 bits: all that a hint knows beside its bucket
        ("low", "u2"),  # shared: the 16 bits below; hint: the guest's address space
        ("count", "u2"),  # shared: who maps it, COUNT_LARGE if the overflow table says; hint or free: 0
    ]
)
COUNT_LARGE = 0xFFFF

# Words of the state.
FREE = 0  # first free frame
HAND = 1  # where the next frame to be given up is looked for
IN_USE = 2  # frames that are hints or shared, that of the zero page included
TOKENS = 3  # what the whole host may still scan, thousandths of a page
NO_LIMIT = 4  # whether the host's limit is off
NO_VM_LIMIT = 5  # whether the limit of a guest is off
STATE_WORDS = 6

# Words of what is counted.
VISITED = 0  # page table entries looked at
SCANNED = 1  # pages among them that had a content
HASHED = 2  # pages hashed, rehashed ones included
REHASHED = 3  # hinted pages hashed again
COMPARED = 4  # whole pages compared
SHARED_PAGES = 5  # pages mapped to a shared frame, the zero page included
ZERO_SHARED = 6  # of these, to the zero page
HINTED = 7  # hints made
STALE_HINTS = 8  # hints dropped: the page had changed or gone
STALE_SHARED = 9  # shared frames dropped: nobody maps the machine page any more
COLLISIONS = 10  # equal hashes, different contents: pages that were not shared for this
EVICTED = 11  # hints given up because the table was full
ADOPTED = 12  # shared pages of one before it, taken into the table
SPARED = 13  # pages among HASHED that need not be read, since nobody stored to them
TAKEN = 14  # pages whose own frame was made a shared one
FOUND_WORDS = 15

PAGE_COST = 1000  # tokens that a page takes


class Tables(NamedTuple):
    """All of it as kernels see it."""

    frames: npt.NDArray[Any]  # frame_dtype[n]
    heads: npt.NDArray[np.int32]  # int32[power of two]: first frame of each bucket's chain, or -1 - bucket
    large: npt.NDArray[np.int64]  # int64[m, 2]: overflow table, frame (0: free) and count
    tokens: npt.NDArray[np.int64]  # int64[mms]: what each guest may still have scanned, thousandths of a page
    salts: npt.NDArray[np.int64]  # int64[mms]: what is mixed into the hash of each guest's pages (salt.py)
    digests: npt.NDArray[np.int64]  # int64[pages]: the emulator's own, see policy.digests
    state: npt.NDArray[np.int64]  # STATE_WORDS
    found: npt.NDArray[np.int64]  # FOUND_WORDS


def make_tables(host_frames: int, pages: int, mms: int) -> Tables:
    """Empty tables for a host of that many frames, with guests of that many pages together.

    A frame for each of the host's frames: no more contents than that can be there at a time.
    """
    count = max(host_frames, 4)
    buckets = 1 << max(4, count.bit_length() - 1)
    tables = Tables(
        frames=np.zeros(count, frame_dtype),
        heads=(-1 - np.arange(buckets)).astype(np.int32),
        large=np.zeros((pages // COUNT_LARGE + 1, 2), np.int64),
        tokens=np.zeros(mms, np.int64),
        salts=np.zeros(mms, np.int64),
        digests=np.zeros(pages, np.int64),
        state=np.zeros(STATE_WORDS, np.int64),
        found=np.zeros(FOUND_WORDS, np.int64),
    )
    tables.frames["link"][2:-1] = np.arange(3, count)
    tables.state[FREE], tables.state[HAND] = 2, 2
    return tables


def table_bytes(tables: Tables) -> int:
    """Memory that the frames, the chains' heads and the overflow table take."""
    return int(tables.frames.nbytes + tables.heads.nbytes + tables.large.nbytes)
