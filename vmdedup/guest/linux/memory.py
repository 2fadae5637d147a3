"""What Linux holds for itself once it is up, and what its boot leaves in free pages.

Counts of pages are those of Debian 12's kernel 6.1 for clouds in guests of 128 and 256 MiB, read from its own records
of pages in dumps (`python -m benchmarks.composition`); they hardly depend on memory, but for the records themselves. In
a guest of less than 128 MiB all is less in proportion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vmdedup.guest.content import heap_pages
from vmdedup.guest.index import Numbers
from vmdedup.guest.linux.image import FULL_PAGES, KernelImage, MadeKernel
from vmdedup.guest.linux.place import FULL_MEMORY, LinuxPlacement, scaled
from vmdedup.guest.linux.plain import release_of
from vmdedup.guest.mixes import SLAB_MIX
from vmdedup.guest.seeds import Stream, below, keys, split_seed
from vmdedup.units import PAGE_SIZE

if TYPE_CHECKING:
    from vmdedup.guest.disk import Disk
    from vmdedup.guest.guestkernel import GuestKernel

# In the kernel's own region: objects, poison, and pages handed out as zeros and not written into since. At memory's
# end: tables that are as large as memory asks for, most of them empty.
_SLAB, _OTHER, _POISONED, _ZEROED = 3_700, 640, 511, 1_920
_TABLES, _EMPTY_TABLES = 139, 570
_RESIDUE = 400  # pages in that region that are free again and hold what they held
_POISON = 0xCC
_RUN = 32  # pages of a kind that lie together
_PAGE_RECORDS = PAGE_SIZE // 64  # struct page of so many pages in one
# Of the objects: pages that hold one of a few patterns (all bits set, stacks never used, freed objects of a kind).
_PATTERNED, _PATTERNS = 0.108, 24
_COMMON = 0.02  # of objects and page records, alike in all guests of a release
_CHUNK = 512


def image_of(disk: Disk, memory_pages: int) -> KernelImage:
    """The kernel that a guest with this disk boots: the image's own if it fits, or one that is made up."""
    if disk.kernel is not None and memory_pages >= FULL_MEMORY:
        return disk.kernel
    return MadeKernel(release_of(disk), scaled(FULL_PAGES, memory_pages))


class LinuxMemory:
    """The kernel's own memory in one boot of a guest. image: what it boots. place: where."""

    def __init__(self, kernel: GuestKernel, image: KernelImage, place: LinuxPlacement) -> None:
        self._kernel, self._image, self._place = kernel, image, place
        self.kept = 0
        self.held: dict[str, Numbers] = {}  # pages that it keeps for good, by what they are
        self._release = split_seed(kernel.disk.identity, "linux")

    def settle(self) -> None:
        """Come up: all of it is in its place afterwards, and what the boot needed is free."""
        kernel = self._kernel
        total = kernel.memory.pages
        self._unpack()
        self._load()
        self._own_region()
        self.held["records"] = self._objects(total // _PAGE_RECORDS, "records")
        tables = self._objects(scaled(_TABLES, total), "tables")
        empty = kernel.allocate(scaled(_EMPTY_TABLES, total), overwritten=True)
        self._fill(empty, 0)
        self.held["tables"] = np.concatenate((tables, empty))
        self.held["image"] = self._place.image[~self._image.given_back]
        self.kept = sum(map(len, self.held.values()))
        kernel.physical.release(self._place.image[self._image.given_back])

    def objects(self, count: int, label: str | int) -> Numbers:
        """Pages of the kernel's objects. Returns them."""
        frames = self._objects(count, label)
        self.held["slab"] = np.concatenate((self.held["slab"], frames))
        return frames

    def _objects(self, count: int, label: str | int) -> Numbers:
        frames = self._kernel.allocate(count, overwritten=True)
        self._store(frames, label)
        return frames

    def _own_region(self) -> None:
        """Hand out what the kernel keeps for good, in short runs of a kind."""
        own, total = self._place.own, self._kernel.memory.pages
        runs = np.array_split(own, max(1, len(own) // _RUN))
        order = Stream(split_seed(self._release, "own")).permutation(len(runs))
        shuffled = np.concatenate([runs[number] for number in order.tolist()])
        sizes = [scaled(count, total) for count in (_SLAB + _OTHER, _POISONED, _ZEROED, _RESIDUE)]
        objects, poisoned, zeroed, residue, _ = np.split(shuffled, np.cumsum(sizes))
        self._kernel.physical.take(np.concatenate((objects, poisoned, zeroed)))
        self.held |= {
            "slab": objects[scaled(_OTHER, total) :],
            "other": np.concatenate((objects[: scaled(_OTHER, total)], poisoned, zeroed)),
        }
        self._store(objects, "slab")
        self._store(residue, "residue")
        self._fill(poisoned, _POISON)
        self._fill(zeroed, 0)

    def _store(self, frames: Numbers, label: str | int) -> None:
        """Objects into pages."""
        numbers = np.arange(len(frames))
        common = below(keys(split_seed(self._release, "common?", label), numbers), _COMMON)
        own = keys(split_seed(self._kernel.seed, "slab", label), numbers)
        content_keys = np.where(common, keys(split_seed(self._release, "common", label), numbers), own)
        if label == "slab":
            patterned = below(keys(split_seed(self._release, "patterned"), numbers), _PATTERNED)
            content_keys = np.where(patterned, keys(self._release, numbers % _PATTERNS), content_keys)
        for start in range(0, len(frames), _CHUNK):
            some = slice(start, start + _CHUNK)
            self._kernel.memory.write_pages(frames[some], self._kernel.form.heap(content_keys[some], SLAB_MIX))

    def _unpack(self) -> None:
        """Leave the packed kernel in both of its places; they are free pages for whoever comes."""
        content = self._image.packed()
        for first, skipped in self._place.packed:
            left = content[skipped : skipped + max(0, int(self._place.image[0]) - first)]
            for start in range(0, len(left), _CHUNK):
                some = left[start : start + _CHUNK]
                self._kernel.memory.write_pages(first + start + np.arange(len(some)), some)

    def _load(self) -> None:
        """Put the image in its place; what it writes into is its own, what it gives back is poison."""
        kernel, image = self._kernel, self._image
        written, given_back = image.written, image.given_back
        own = split_seed(kernel.seed, "image")
        for first, content in image.blocks(self._place.distance):
            some = slice(first, first + len(content))
            changed = np.flatnonzero(written[some])
            content[changed] = heap_pages(keys(own, first + changed), SLAB_MIX)
            content[given_back[some]] = _POISON
            kernel.memory.write_pages(self._place.image[some], content)

    def _fill(self, frames: Numbers, byte: int) -> None:
        content = np.full((min(len(frames), _CHUNK), PAGE_SIZE), byte, dtype=np.uint8)
        for start in range(0, len(frames), _CHUNK):
            some = frames[start : start + _CHUNK]
            self._kernel.memory.write_pages(some, content[: len(some)])
