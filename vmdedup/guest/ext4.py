"""An ext4 image as a disk: its directory tree, read only, without mounting it.

Layout from the documentation of the on-disk format (Linux, Documentation/filesystems/ext4): superblock, group
descriptors, inodes, extent trees, linear directory entries (hashed directories read the same way). Left
out: files without extents (ext2 and ext3 block maps), inline and encrypted ones; a journal that was not
replayed is not replayed.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import UsageError
from vmdedup.guest.content import Pages
from vmdedup.guest.disk import Disk
from vmdedup.guest.index import FileIndex
from vmdedup.guest.rawdisk import open_image
from vmdedup.host.segment import Segment

_MAGIC = 0xEF53
_EXTENT_MAGIC = 0xF30A
_ROOT_INODE = 2
_INCOMPAT_META_BG = 0x10
_INCOMPAT_64BIT = 0x80
_FLAG_EXTENTS = 0x80000
_FLAG_UNREADABLE = 0x10000800
_UNWRITTEN = 1 << 15
_MAX_DEPTH = 5
_LARGEST_FILE = 1 << 44

Extent = tuple[int, int, int]


@dataclass(frozen=True)
class _Inode:
    mode: int
    size: int
    flags: int
    block: bytes


class Volume:
    """The metadata of an open image. descriptor: of the image file; the caller closes it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        head = self._at(1024, 1024)
        self.block_size = 1024 << struct.unpack_from("<I", head, 24)[0]
        self._inodes_per_group = struct.unpack_from("<I", head, 40)[0]
        self._inode_size = struct.unpack_from("<H", head, 88)[0] or 128
        if not self._inodes_per_group:
            raise ValueError("the superblock is broken")
        incompat = struct.unpack_from("<I", head, 96)[0]
        if incompat & _INCOMPAT_META_BG:
            raise ValueError("group descriptors are scattered (meta_bg)")
        wide = incompat & _INCOMPAT_64BIT
        self._group_size = struct.unpack_from("<H", head, 254)[0] if wide else 32
        self._groups_at = (struct.unpack_from("<I", head, 20)[0] + 1) * self.block_size

    def files(self) -> Iterator[tuple[str, int, list[Extent]]]:
        """(path, size, extents) of every file that can be read, each inode once, sorted by directory."""
        yield from self._walk(_ROOT_INODE, "", set())

    def _walk(self, number: int, prefix: str, seen: set[int]) -> Iterator[tuple[str, int, list[Extent]]]:
        for name, child in sorted(self._entries(self._inode(number))):
            if child in seen:
                continue
            seen.add(child)
            inode = self._inode(child)
            if stat.S_ISDIR(inode.mode):
                yield from self._walk(child, f"{prefix}{name}/", seen)
            elif stat.S_ISREG(inode.mode) and inode.size and _readable(inode):
                yield prefix + name, inode.size, list(self._extents(inode.block, _MAX_DEPTH))

    def _inode(self, number: int) -> _Inode:
        group, index = divmod(number - 1, self._inodes_per_group)
        entry = self._at(self._groups_at + group * self._group_size, self._group_size)
        table = struct.unpack_from("<I", entry, 8)[0]
        if self._group_size >= 64:
            table |= struct.unpack_from("<I", entry, 40)[0] << 32
        raw = self._at(table * self.block_size + index * self._inode_size, 128)
        size = struct.unpack_from("<I", raw, 4)[0] | struct.unpack_from("<I", raw, 108)[0] << 32
        if size > _LARGEST_FILE:
            raise ValueError("an inode is broken")
        mode, flags = struct.unpack_from("<H", raw)[0], struct.unpack_from("<I", raw, 32)[0]
        return _Inode(mode, size, flags, raw[40:100])

    def _entries(self, folder: _Inode) -> Iterator[tuple[str, int]]:
        if not _readable(folder):
            return
        for _, physical, count in self._extents(folder.block, _MAX_DEPTH):
            for block in range(physical, physical + count):
                yield from _entries_of(self._at(block * self.block_size, self.block_size))

    def _extents(self, node: bytes, depth_left: int) -> Iterator[Extent]:
        magic, entries, _, depth = struct.unpack_from("<4H", node)
        if magic != _EXTENT_MAGIC or depth_left < 0:
            raise ValueError("an extent tree is broken")
        for at in range(12, 12 * (entries + 1), 12):
            if depth:
                _, low, high = struct.unpack_from("<IIH", node, at)
                child = self._at((low | high << 32) * self.block_size, self.block_size)
                yield from self._extents(child, depth_left - 1)
            else:
                logical, length, high, low = struct.unpack_from("<IHHI", node, at)
                if length <= _UNWRITTEN:
                    yield logical, low | high << 32, length

    def _at(self, offset: int, size: int) -> bytes:
        data = os.pread(self._descriptor, size, offset)
        if len(data) < size:
            raise ValueError("the image ends too early")
        return data


class Ext4Disk(Disk):
    """The regular files of an ext4 image.

    extents: (n, 3) numbers in shared memory, each the first block in the file, the first in the image, how
    many.
    """

    def __init__(self, path: str, index: FileIndex, block_size: int, extents: Segment) -> None:
        self.path = path
        self.index = index
        self.identity = index.identity()
        self._block_size = block_size
        self._segment = extents
        self._descriptor = -1

    @classmethod
    def open(cls, path: str) -> Ext4Disk:
        """List the files of an image. Raises UsageError if it is damaged, of an unknown make or empty."""
        descriptor = open_image(path)
        try:
            volume = Volume(descriptor)
            listed = list(volume.files())
        except (ValueError, struct.error, OSError, RecursionError) as error:
            raise UsageError(f"disk image {path!r} is no sound ext4 ({error}); say kind = 'raw'") from None
        finally:
            os.close(descriptor)
        if not listed:
            raise UsageError(f"disk image {path!r} holds no readable file; say kind = 'raw'")
        index = FileIndex.build((name, size) for name, size, _ in listed)
        return cls(path, index, volume.block_size, _pack(listed))

    def fill(self, file: int, offset: int, out: Pages) -> None:
        """Bytes of one file, extent by extent; holes read as zeros."""
        if self._descriptor < 0:
            self._descriptor = open_image(self.path)
        end = min(offset + len(out), int(self.index.sizes[file]))
        for logical, physical, count in self._extents_of(file).tolist():
            first = max(offset, logical * self._block_size)
            last = min(end, (logical + count) * self._block_size)
            if last > first:
                place = physical * self._block_size + first - logical * self._block_size
                os.preadv(self._descriptor, [out[first - offset : last - offset].data], place)

    def close(self) -> None:
        """Close the image file, if it is open."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _extents_of(self, file: int) -> NDArray[np.int64]:
        table = np.frombuffer(self._segment.buffer, dtype=np.int64)
        first, last = (int(n) for n in table[file : file + 2])
        return table[self.index.files + 1 + 3 * first : self.index.files + 1 + 3 * last].reshape(-1, 3)

    def __reduce__(self) -> tuple[type[Ext4Disk], tuple[str, FileIndex, int, Segment]]:
        return Ext4Disk, (self.path, self.index, self._block_size, self._segment)


def is_ext4(path: str) -> bool:
    """Whether a file has the superblock of ext2, ext3 or ext4."""
    descriptor = open_image(path)
    try:
        return os.pread(descriptor, 2, 1024 + 56) == struct.pack("<H", _MAGIC)
    finally:
        os.close(descriptor)


def _readable(inode: _Inode) -> bool:
    return bool(inode.flags & _FLAG_EXTENTS) and not inode.flags & _FLAG_UNREADABLE


def _entries_of(block: bytes) -> Iterator[tuple[str, int]]:
    at = 0
    while at + 8 <= len(block):
        inode, length, name_length = struct.unpack_from("<IHB", block, at)
        if length < 8:
            raise ValueError("a directory is broken")
        name = block[at + 8 : at + 8 + name_length]
        if inode and name not in (b".", b".."):
            yield name.decode("utf-8", "surrogateescape"), inode
        at += length


def _pack(listed: list[tuple[str, int, list[Extent]]]) -> Segment:
    firsts = np.cumsum([0, *(len(extents) for _, _, extents in listed)], dtype=np.int64)
    rows = np.array([extent for _, _, extents in listed for extent in extents], dtype=np.int64)
    packed = np.concatenate((firsts, rows.reshape(-1)))
    segment = Segment(packed.nbytes)
    np.frombuffer(segment.buffer, dtype=np.int64)[:] = packed
    return segment
