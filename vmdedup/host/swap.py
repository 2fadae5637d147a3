"""Swap of a host: its device, pages out, what is out.

For whoever reclaims memory: `swap_out(host, entries)` takes the frames of page table entries out, with all that map
them, and `swap_figures(host)` tells what is out. Guests bring their pages back themselves (host.space). Kinds of
device:

    disk    pages as they are, in a part of the host's segment that is none of its memory
    zram    compressed by lz4, in frames of the host; those of one word as that word; what lz4 hardly makes smaller as
            it is, in a frame
    zswap   the same, as far as it fits into its pool and lz4 makes it smaller; all else goes to a disk behind it

Every process of a host may call what is here at any time, but for swap_on and swap_off: nobody else runs then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import HostError
from vmdedup.host import swap_out as out
from vmdedup.host.absent import NO_RECORD, form_swapped, let_go
from vmdedup.host.layout import (
    CTL_FRAMES,
    CTL_KSM_SWPIN_COPY,
    CTL_PSWPIN,
    CTL_PSWPOUT,
    CTL_SWAP,
    CTL_SWAP_FRAMES,
    CTL_SWAP_FRESH,
    CTL_SWAP_LIMIT,
    CTL_ZSWPIN,
    CTL_ZSWPOUT,
    DISK,
    ON_DISK,
    ONE_WORD,
    PACKED,
    SWAP_OFF,
    SWAPPED,
    ZRAM,
    ZSWAP,
    HostArrays,
)
from vmdedup.host.rebuild import kind_of_all
from vmdedup.host.swap_back import bring_in
from vmdedup.host.swap_device import POOL_PERCENT, Kind
from vmdedup.host.swap_slot import take_record

if TYPE_CHECKING:
    from vmdedup.host.memory import Host

HUGE_CLASS: Final = (51, 64)  # of a page: what compresses to less only zram keeps compressed: of 4096 bytes, 3264
KINDS: Final[dict[Kind, int]] = {"disk": DISK, "zram": ZRAM, "zswap": ZSWAP}
BATCH: Final = 1 << 12  # frames that are taken out together


class SwapFigures(NamedTuple):
    """What is out now, and what has gone out and in so far. Counters: in pages, as /proc/vmstat has them."""

    records: int  # pages that the device has
    size: int  # ... and that it can have
    entries: int  # page table entries that name one: smaps' Swap
    cached: int  # records whose page is in memory, too
    on_disk: int  # pages on the disk
    one_word: int  # pages of one word
    packed: int  # compressed pages, and those that are in host memory as they are
    packed_bytes: int  # what these have, compressed
    pool_frames: int  # host memory that they take, frames
    pswpin: int
    pswpout: int
    ksm_swpin_copy: int
    zswpin: int
    zswpout: int


def swap_on(host: Host, kind: Kind, pool: int | None = None) -> None:
    """Have a device of a kind, of the size that the host has room for. HostError: there is none, or one is on.

    pool: bytes of host memory that zswap's compressed pages may take.
    """
    h = host.arrays
    if len(h.swaps) < 2 or h.ctl[CTL_SWAP] != SWAP_OFF:
        raise HostError("there is swap already, or no room was made for any; see Host.create")
    frames = int(h.ctl[CTL_FRAMES])
    h.ctl[CTL_SWAP_LIMIT] = frames * POOL_PERCENT // 100 if pool is None else pool // host.page_size
    h.ctl[CTL_SWAP] = KINDS[kind]


def swap_off(host: Host) -> None:
    """Bring everything back, and have no swap. HostError: there is no memory for it; what is out stays there."""
    for memory in host.live():
        for page in np.flatnonzero(kind_of_all(memory.entries) == SWAPPED).tolist():
            if not bring_in(host.arrays, memory.mm, page):
                raise HostError("there is no memory for what is swapped out; swap stays on")
    host.arrays.ctl[CTL_SWAP] = SWAP_OFF


def swap_out(
    host: Host, entries: NDArray[np.int64], own: bool = False, stays: bool = False, unfound: Sequence[int] = ()
) -> int:
    """Take the frames of page table entries out, each with every entry that maps it. Returns how many frames went.

    entries: numbers of page table entries (host.layout), int64[n]. What is not there, the zero page, pinned, or beyond
    the device's size stays in memory. own: leave alone what more than one entry maps, as MADV_PAGEOUT does. stays: in
    the swap cache, as after a write to a disk that nobody waits for, until empty_cache(); such frames are not free.
    Huge pages are split first, even if there is no swap. unfound: entries that keep what they map, as the kernel finds
    no way to them (Ksmd.unfound); their frames stay in the swap cache of those that went.
    """
    numbers = np.ascontiguousarray(entries, np.int64)
    wanted = np.zeros(len(host.arrays.frames), np.int32)
    marked = np.zeros(len(host.arrays.pte) if len(unfound) else 0, np.uint8)
    marked[list(unfound)] = 1
    batches = (numbers[at : at + BATCH] for at in range(0, len(numbers), BATCH))
    return sum(_batch_out(host.arrays, batch, wanted, own, stays, marked) for batch in batches)


def _batch_out(
    h: HostArrays,
    entries: NDArray[np.int64],
    wanted: NDArray[np.int32],
    own: bool,
    stays: bool,
    unfound: NDArray[np.uint8],
) -> int:
    records, frames = np.zeros(len(entries), np.int64), np.zeros(len(entries), np.int64)
    states = np.zeros(len(entries), np.int8)
    if out.begin_out(h, entries, records, frames, wanted, own, unfound):
        out.unmap_rest(h, wanted, unfound)
        wanted[frames] = 0
    out.store_plain(h, records, frames, states)
    gone = int(out.end_all(h, records, frames, states, stays))
    packed = np.flatnonzero(states == out.TO_PACK)
    kept = [k for k in packed.tolist() if not _pack(h, int(records[k]), int(frames[k]), stays)]
    if kept:
        _map_back(h, records[kept], frames[kept])
    return gone + len(packed) - len(kept)


def _pack(h: HostArrays, record: int, pfn: int, stays: bool) -> bool:
    """Store a frame's content where it has to be compressed, or may be. False: there is no room for it."""
    if not _store(h, record, pfn):
        return False
    out.end_out(h, record, pfn, stays)
    return True


def _store(h: HostArrays, record: int, pfn: int) -> bool:
    """Compress a frame's content into the pool, or write it to the disk behind. False: there is no room for it."""
    from vmdedup.subpage.compression import compress

    content, is_zswap = h.bytes[pfn].tobytes(), h.ctl[CTL_SWAP] == ZSWAP
    packed = compress(content, "lz4")
    part, of = (1, 1) if is_zswap else HUGE_CLASS
    is_small = len(packed) < len(content) * part // of
    if not is_zswap or (is_small and h.ctl[CTL_SWAP_FRAMES] < h.ctl[CTL_SWAP_LIMIT]):
        data = np.array(np.frombuffer(packed if is_small else content, np.uint8))
        if out.store_packed(h, record, data, len(data)):
            return True
    if is_zswap:
        out.write_disk(h, record, pfn)
    return is_zswap


def store_page(h: HostArrays, pfn: int) -> int:
    """Store a frame's content for one page, which the caller then takes away.

    Returns the page's form (host.absent); 0: there is no room.
    """
    record = int(take_record(h))
    if record == NO_RECORD:
        return 0
    if out.store_unpacked(h, record, pfn) or _store(h, record, pfn):
        return int(form_swapped(record))
    let_go(h, record)
    return 0


def _map_back(h: HostArrays, records: NDArray[np.int64], frames: NDArray[np.int64]) -> None:
    """Let pages that could not be stored be in memory again."""
    back = np.zeros(len(h.swaps), np.int32)
    back[records] = frames
    out.map_back(h, back)
    for record, pfn in zip(records.tolist(), frames.tolist(), strict=True):
        out.end_out(h, record, pfn, True)


def empty_cache(host: Host) -> int:
    """Free the frames of pages that are stored, as far as nobody maps them. Returns how many left the cache.

    There are some after swap_out(stays=True), and where an entry was pinned, or not found, and gone later.
    """
    return int(out.empty_cache(host.arrays))


def swap_figures(host: Host) -> SwapFigures:
    """What is out."""
    h = host.arrays
    used = h.swaps[: int(h.ctl[CTL_SWAP_FRESH])]
    used = used[used["count"] != 0]
    places = np.bincount(used["place"], minlength=4)
    packed = used[used["place"] == PACKED]
    return SwapFigures(
        records=len(used),
        size=max(0, len(h.swaps) - 1) if h.ctl[CTL_SWAP] != SWAP_OFF else 0,
        entries=int(used["count"].sum()),
        cached=int(np.count_nonzero(used["frame"])),
        on_disk=int(places[ON_DISK]),
        one_word=int(places[ONE_WORD]),
        packed=len(packed),
        packed_bytes=int(packed["length"].sum()),
        pool_frames=int(h.ctl[CTL_SWAP_FRAMES]),
        pswpin=int(h.ctl[CTL_PSWPIN]),
        pswpout=int(h.ctl[CTL_PSWPOUT]),
        ksm_swpin_copy=int(h.ctl[CTL_KSM_SWPIN_COPY]),
        zswpin=int(h.ctl[CTL_ZSWPIN]),
        zswpout=int(h.ctl[CTL_ZSWPOUT]),
    )
