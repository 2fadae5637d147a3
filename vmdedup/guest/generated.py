"""A disk made from a seed: the same files with the same bytes on every machine."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vmdedup.guest.content import Pages, heap_pages
from vmdedup.guest.disk import Disk
from vmdedup.guest.index import FileIndex
from vmdedup.guest.kinds import FileKind
from vmdedup.guest.mixes import FILE_MIX, IMAGE_MIX, TEXT_MIX
from vmdedup.guest.seeds import Stream, keys, split_seed
from vmdedup.units import KIB, MIB, PAGE_SIZE

_FIXED = (("sbin/init", 96 * KIB + 312), ("lib/libc.so.6", 1900 * KIB + 1208), ("bin/sh", 122 * KIB + 40))
# path, share of the disk's bytes in per cent, smallest size, number of times that it may double
_FAMILIES = (
    ("lib/lib{:04d}.so.1", 30, 8 * KIB, 7),
    ("bin/program{:04d}", 25, 8 * KIB, 6),
    ("etc/service{:04d}.conf", 1, 512, 4),
    ("src/unit{:05d}.c", 14, 1 * KIB, 6),
    ("share/data{:05d}.bin", 30, 4 * KIB, 7),
)
_MIXES = {
    FileKind.EARLY: IMAGE_MIX,
    FileKind.LIBRARY: IMAGE_MIX,
    FileKind.PROGRAM: IMAGE_MIX,
    FileKind.SERVICE: TEXT_MIX,
    FileKind.SOURCE: TEXT_MIX,
    FileKind.DATA: FILE_MIX,
}


class GeneratedDisk(Disk):
    """About mib MiB of programs, libraries, configuration, sources and data below one seed."""

    def __init__(self, index: FileIndex, identity: int) -> None:
        self.index = index
        self.identity = identity

    @classmethod
    def make(cls, seed: int, mib: int) -> GeneratedDisk:
        """List the files of the disk; their bytes are made when they are read."""
        return cls(FileIndex.build(sorted(_files(seed, mib))), split_seed(seed, "generated", mib))

    def fill(self, file: int, offset: int, out: Pages) -> None:
        """Bytes of one file from its key."""
        wanted = max(0, min(len(out), int(self.index.sizes[file]) - offset))
        first = offset // PAGE_SIZE
        numbers = np.arange(first, (offset + wanted + PAGE_SIZE - 1) // PAGE_SIZE)
        file_key = int(self.index.keys[file]) ^ self.identity
        mix = _MIXES[FileKind(self.index.kinds[file])]
        content = heap_pages(keys(file_key, numbers), mix).reshape(-1)
        out[:wanted] = content[offset - first * PAGE_SIZE :][:wanted]

    def close(self) -> None:
        """Nothing is open."""


def _files(seed: int, mib: int) -> Iterator[tuple[str, int]]:
    yield from _FIXED
    for pattern, per_cent, smallest, doublings in _FAMILIES:
        stream = Stream(split_seed(seed, pattern))
        left, number = mib * MIB * per_cent // 100, 0
        while left > 0:
            size = smallest << stream.integer(doublings)
            size += stream.integer(size)
            yield pattern.format(number), size
            left, number = left - size, number + 1
