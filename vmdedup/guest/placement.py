"""Where things lie in a guest's physical memory, and in which order its pages are handed out.

    0      256        kernel base                                          pages
    │firmware│  …  │ kernel image │  …  everything else, in allocation order  │

Without randomisation two guests of one size have the kernel at one place and hand out pages in one order
but for the jitter that the races of a boot bring. With it the kernel lies elsewhere in each guest and at
each boot, and so does all that comes after.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vmdedup.guest.index import Numbers
from vmdedup.guest.seeds import Stream, split_seed
from vmdedup.guest.spec import Aslr
from vmdedup.units import PAGE_SIZE

LOW_PAGES = 256
FIRMWARE_PAGES = 16
_KERNEL_AT = 4096
_KERNEL_ALIGN = 512
CHUNK = 16
_BLOCK = 1024
WANDER = 32
SHIFT_UNIT = 16


@dataclass(frozen=True)
class Placement:
    """firmware, image: guest pages, in order. order: all other pages, the first to be handed out first.

    shift: bytes by which content lies further inside its pages than without randomisation.
    """

    firmware: Numbers
    image: Numbers
    order: Numbers
    shift: int


def place(pages: int, image_pages: int, aslr: Aslr, jitter: float, seed: int) -> Placement:
    """The placement of one boot. jitter: share of 16-page chunks that come out of turn. seed: of the boot."""
    stream = Stream(split_seed(seed, "placement"))
    low = min(LOW_PAGES, pages // 8)
    base = _kernel_base(pages, image_pages, low, aslr, stream)
    image = np.arange(base, base + image_pages, dtype=np.int64)
    taken = np.zeros(pages, dtype=np.bool_)
    taken[:low] = True
    taken[image] = True
    order = _order(pages, aslr, jitter, stream)
    shift = SHIFT_UNIT * (1 + stream.integer(PAGE_SIZE // SHIFT_UNIT - 1)) if aslr == "bytes" else 0
    return Placement(np.arange(min(FIRMWARE_PAGES, low), dtype=np.int64), image, order[~taken[order]], shift)


def _kernel_base(pages: int, image_pages: int, low: int, aslr: Aslr, stream: Stream) -> int:
    last = pages - image_pages
    if aslr in ("off", "linux"):
        return max(low, min(_KERNEL_AT, last // 2))
    slots = max(1, (last - low) // _KERNEL_ALIGN)
    return min(last, low + _KERNEL_ALIGN * stream.integer(slots))


def _order(pages: int, aslr: Aslr, jitter: float, stream: Stream) -> Numbers:
    """All pages: 4 MiB blocks from the top down, ascending inside a block, chunks astray as jitter says."""
    blocks = np.arange(-(-pages // _BLOCK))[::-1]
    if aslr in ("pages", "bytes"):
        blocks = blocks[stream.permutation(len(blocks))]
    chunks = (blocks[:, None] * (_BLOCK // CHUNK) + np.arange(_BLOCK // CHUNK)).reshape(-1)
    astray = stream.uniform(len(chunks)) < jitter
    turns = np.arange(len(chunks)) + astray * stream.uniform(len(chunks)) * WANDER
    chunks = chunks[np.argsort(turns, kind="stable")]
    order = (chunks[:, None] * CHUNK + np.arange(CHUNK)).reshape(-1)
    return order[order < pages].astype(np.int64)
