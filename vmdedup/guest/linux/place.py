"""Where Linux lies in a guest's memory, and in which order it hands out pages.

     0    1 MiB             16 MiB                                 kernel base
    │low │ packed kernel …  │ its own objects │ first │ packed … │ … │ image │ …  │ first of all │

The loader puts the packed kernel to 1 MiB; it copies itself behind the place where it unpacks what is packed, from
16 MiB on, and that moves to where it runs: to a place above all this, and to other addresses (KASLR). What the kernel
keeps for good it takes from 16 MiB on; files and processes get what the boot has freed in the image, then memory's end,
then what lies between the kernel's own and the second copy, then the rest. Read from dumps (linux.memory). In smaller
guests all places are lower in proportion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from vmdedup.guest.index import Numbers
from vmdedup.guest.placement import CHUNK, FIRMWARE_PAGES, LOW_PAGES, SHIFT_UNIT, WANDER, Placement
from vmdedup.guest.seeds import Stream, split_seed
from vmdedup.guest.spec import Aslr
from vmdedup.units import MIB, PAGE_SIZE

FULL_MEMORY: Final = 32_768  # pages of the smaller guests that were looked at
OWN_PAGES: Final = 8_704  # from which the kernel's own are taken
KASLR_ALIGN: Final = 2 * MIB
_KASLR_SLOTS = 490  # places for the image in the 1 GiB of addresses that x86-64 keeps for it
_ALIGN = 512
_UNPACK_AT = 4_096
_UNPACKING = 8  # an eighth of the image more is needed where it unpacks itself
_TOP = 2_048
_LEFT = 0.70  # of the second copy
_RESERVED_AT_TOP = 32  # of memory, a thirty-second that is taken before the kernel looks for a place


@dataclass(frozen=True)
class LinuxPlacement(Placement):
    """own: free pages from which the kernel's objects are taken, ascending. distance: bytes by which the kernel's
    addresses are higher. packed: (first page, first page of the packed kernel there) for each place that still has it.
    """

    own: Numbers
    distance: int
    packed: tuple[tuple[int, int], ...]


def scaled(pages: int, memory_pages: int) -> int:
    """So many pages of a full guest, in one of that size."""
    return pages * min(memory_pages, FULL_MEMORY) // FULL_MEMORY


def place_linux(
    pages: int, image_pages: int, packed_pages: int, aslr: Aslr, jitter: float, seed: int
) -> LinuxPlacement:
    """The placement of one boot of a guest of so many pages. seed: of the boot. Others: as placement.place has them."""
    stream = Stream(split_seed(seed, "placement"))
    low, at = min(LOW_PAGES, pages // 8), scaled(_UNPACK_AT, pages)
    end = at + image_pages + image_pages // _UNPACKING
    base = _base(pages, image_pages, at, end, aslr, stream)
    image = np.arange(base, base + image_pages, dtype=np.int64)
    free = np.ones(pages, dtype=np.bool_)
    free[:low] = False
    free[image] = False
    own = np.flatnonzero(free[at:])[: scaled(OWN_PAGES, pages)] + at
    kept = round(_LEFT * packed_pages)  # what is unpacked grows over the rest
    order = _order(pages, own, end - kept, end, aslr, jitter, stream)
    shift = SHIFT_UNIT * (1 + stream.integer(PAGE_SIZE // SHIFT_UNIT - 1)) if aslr == "bytes" else 0
    return LinuxPlacement(
        firmware=np.arange(min(FIRMWARE_PAGES, low), dtype=np.int64),
        image=image,
        order=order[free[order]],
        shift=shift,
        own=own,
        distance=KASLR_ALIGN * stream.integer(_KASLR_SLOTS) if aslr != "off" else 0,
        packed=((low, 0), (end - kept, packed_pages - kept)),
    )


def _base(pages: int, image_pages: int, at: int, end: int, aslr: Aslr, stream: Stream) -> int:
    """The image's first page: above where it was unpacked, or there if there is no room, or no KASLR."""
    lowest = -(-end // _ALIGN)
    last = (pages - image_pages - image_pages // _UNPACKING - pages // _RESERVED_AT_TOP) // _ALIGN
    if aslr == "off" or last < lowest:
        return min(at, pages - image_pages)
    return _ALIGN * (lowest + stream.integer(last - lowest + 1))


def _order(pages: int, own: Numbers, packed: int, end: int, aslr: Aslr, jitter: float, stream: Stream) -> Numbers:
    """All pages, the first to be handed out first, in chunks of which some are astray."""
    starts = np.arange(0, pages, CHUNK)
    rank = np.full(len(starts), 3)
    rank[starts < packed] = 1
    rank[starts < own[-1]] = 2
    rank[(starts >= packed) & (starts < end)] = 4
    rank[starts < own[0]] = 5
    rank[starts >= pages - scaled(_TOP, pages)] = 0
    if aslr in ("pages", "bytes"):
        rank = stream.permutation(len(rank))
    turns = np.argsort(np.argsort(rank, kind="stable"), kind="stable")
    astray = stream.uniform(len(starts)) < jitter
    chunks = starts[np.argsort(turns + astray * stream.uniform(len(starts)) * WANDER, kind="stable")]
    order = (chunks[:, None] + np.arange(CHUNK)).reshape(-1)
    return order[order < pages].astype(np.int64)
