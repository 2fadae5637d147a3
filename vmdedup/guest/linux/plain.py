"""A plain kernel: an image of a stated size, and a share of memory for its objects; nothing else of Linux.

For experiments of papers, whose guests are of other times and sizes. The image is code, read-only data and tables of
pointers, from a key that stands for the disk's release. Guests of one release have the same bytes, at other alignments
if so said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from vmdedup.guest.content import Pages, heap_pages, rolled
from vmdedup.guest.disk import Disk
from vmdedup.guest.index import Numbers
from vmdedup.guest.mixes import IMAGE_MIX
from vmdedup.guest.seeds import below, keys, split_seed
from vmdedup.guest.variant import VariantDisk

if TYPE_CHECKING:
    from vmdedup.guest.guestkernel import GuestKernel

_BLOCK = 256
_CHUNK = 512
_OBJECT_BYTES = 3072
_DATA_SHARE = 32


class PlainKernel:
    """The memory of a plain kernel in one boot of a guest."""

    kept = 0  # shares of memory are of all of it

    def __init__(self, kernel: GuestKernel) -> None:
        self._kernel = kernel

    def settle(self) -> None:
        """Place image and data."""
        for pages, content in self._image_blocks():
            self._kernel.memory.write_pages(pages, content)
        self.objects(self._kernel.memory.pages // _DATA_SHARE, "data")

    def objects(self, count: int, label: str | int) -> Numbers:
        """Pages for the kernel's objects, which fill three quarters of each and leave the rest as it was."""
        kernel = self._kernel
        frames = kernel.allocate(count, overwritten=False)
        numbers = np.arange(count)
        common = below(keys(split_seed(kernel.disk.identity, "slab?"), numbers), kernel.spec.heap.common)
        own = keys(split_seed(kernel.seed, "slab", label), numbers)
        content_keys = np.where(common, keys(split_seed(kernel.disk.identity, "slab"), numbers), own)
        chunk = min(_CHUNK, kernel.memory.pages // 32)
        for start in range(0, count, chunk):
            some = slice(start, start + chunk)
            objects = rolled(heap_pages(content_keys[some], kernel.spec.heap), kernel.placement.shift)
            objects = objects[:, :_OBJECT_BYTES]
            if kernel.memory.has_fingerprints:
                kernel.memory.touch(frames[some])
                kernel.memory.write_bytes(frames[some], np.zeros(len(objects), np.int64), objects)
                continue
            content = kernel.memory.read_pages(frames[some])
            content[:, :_OBJECT_BYTES] = objects
            kernel.memory.write_pages(frames[some], content)
        return frames

    def _image_blocks(self) -> Iterator[tuple[Numbers, Pages]]:
        """(guest pages, contents) of the whole image, block by block, each byte placement.shift further on."""
        placement = self._kernel.placement
        seed = release_of(self._kernel.disk)
        carried = np.zeros(placement.shift, dtype=np.uint8)
        for start in range(0, len(placement.image), _BLOCK):
            pages = placement.image[start : start + _BLOCK]
            content = heap_pages(keys(seed, np.arange(start, start + len(pages))), IMAGE_MIX)
            moved = np.concatenate((carried, content.reshape(-1)))
            carried = moved[content.size :]
            yield pages, moved[: content.size].reshape(content.shape)


def release_of(disk: Disk) -> int:
    """The seed of the release's kernel: another release, another kernel."""
    if isinstance(disk, VariantDisk):
        return split_seed(disk.identity, "kernel", disk.variant.seed)
    return split_seed(disk.identity, "kernel")
