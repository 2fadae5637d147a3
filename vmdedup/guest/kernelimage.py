"""The kernel image in a guest's memory.

A disk holds its kernel packed, if at all, so the image is made up: code, read-only data, tables of
pointers, from a key that stands for the disk's release. Guests of one release have the same bytes, at other
alignments if so said.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vmdedup.guest.content import Pages, heap_pages
from vmdedup.guest.disk import Disk
from vmdedup.guest.index import Numbers
from vmdedup.guest.mixes import IMAGE_MIX
from vmdedup.guest.placement import Placement
from vmdedup.guest.seeds import keys, split_seed
from vmdedup.guest.variant import VariantDisk

_BLOCK = 256


def image_blocks(disk: Disk, placement: Placement) -> Iterator[tuple[Numbers, Pages]]:
    """(guest pages, contents) of the whole image, block by block, each byte placement.shift further on."""
    seed = _release(disk)
    carried = np.zeros(placement.shift, dtype=np.uint8)
    for start in range(0, len(placement.image), _BLOCK):
        pages = placement.image[start : start + _BLOCK]
        content = heap_pages(keys(seed, np.arange(start, start + len(pages))), IMAGE_MIX)
        moved = np.concatenate((carried, content.reshape(-1)))
        carried = moved[content.size :]
        yield pages, moved[: content.size].reshape(content.shape)


def _release(disk: Disk) -> int:
    """The seed of the release's kernel: another release, another kernel."""
    if isinstance(disk, VariantDisk):
        return split_seed(disk.identity, "kernel", disk.variant.seed)
    return split_seed(disk.identity, "kernel")
