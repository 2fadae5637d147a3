"""kdump-compressed files, of `virsh dump --memory-only --format kdump-zlib`, QEMU, makedumpfile and diskdump's heirs.

A file is a header, two bitmaps (pages that exist, pages that were dumped), a descriptor a dumped page, and data. Pages
that exist and were not dumped are absent. Source: makedumpfile's IMPLEMENTATION and diskdump_mod.h; QEMU's
include/sysemu/dump.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vmdedup.dump.base import BLOCK_PAGES, PAGE_SIZE, Block, Dump, Region, same_page
from vmdedup.dump.bitmap import ones_in, runs_of, set_bits
from vmdedup.dump.codecs import unlzo, unsnappy, unzlib, unzstd
from vmdedup.dump.file import MOST_PAGES, Source, check_pages, check_range
from vmdedup.errors import DumpError

MAGIC = b"KDUMP   "
CODECS = {1: unzlib, 2: unlzo, 4: unsnappy, 0x20: unzstd}
DESCRIPTOR = np.dtype([("offset", "<i8"), ("size", "<u4"), ("flags", "<u4"), ("page_flags", "<u8")])
COMPRESSION = 0x27  # bits of a descriptor's flags
Key = tuple[int, int, int]  # offset, size, flags: where a page's data are
MOST_REGIONS = 1 << 16
WIDE, NARROW = 428, 416  # where the header's block size is, in dumps of 64 and of 32 bit machines
BITMAP_PART = 1 << 20  # bytes read at a time


class KdumpDump(Dump):
    """One kdump-compressed file."""

    format = "kdump"

    def __init__(self, file: Source) -> None:
        self.file, self.name = file, file.name
        self.page, self.sub_blocks, bitmap_blocks, self.bits = header(file)
        self.ratio = self.page // PAGE_SIZE
        self.bitmap = self.page * (1 + self.sub_blocks)
        need = -(-self.bits // (8 * self.page))
        if bitmap_blocks < need:
            what = f"{self.bits} page numbers in bitmaps of {bitmap_blocks} blocks"
            raise DumpError(f"{self.name}: {what}: truncated or damaged; dump again")
        # With room for one bitmap only, all that exists was dumped: so diskdump_mod.h and crash have it.
        self.dumped = self.bitmap + (bitmap_blocks // 2 * self.page if bitmap_blocks >= 2 * need else 0)
        check_range(file, self.bitmap, bitmap_blocks * self.page)
        self.descriptors = self.bitmap + bitmap_blocks * self.page
        self.regions = [
            Region("memory", first * self.ratio, count * self.ratio)
            for first, count in runs_of(self._parts(self.bitmap, self.dumped), MOST_REGIONS)
        ]
        dumped = sum(ones_in(part) for _, part in self._parts(self.dumped))
        check_pages(self.name, dumped * self.ratio)
        check_range(file, self.descriptors, dumped * DESCRIPTOR.itemsize)
        self._present = dumped * self.ratio

    @property
    def present(self) -> int:
        """Pages that were dumped."""
        return self._present

    def _parts(self, *bitmaps: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Bitmaps ored, in parts: number of the first bit, bytes. Bits past the highest page are cleared."""
        total = -(-self.bits // 8)
        for at in range(0, total, BITMAP_PART):
            length = min(BITMAP_PART, total - at)
            part = np.zeros(length, np.uint8)
            for bitmap in bitmaps:
                part |= np.frombuffer(self.file.read(bitmap + at, length), np.uint8)
            if at + length == total and self.bits % 8:
                part[-1] &= (1 << self.bits % 8) - 1
            yield at * 8, part

    def blocks(self) -> Iterator[Block]:
        """Pages in order, which is the order of their descriptors."""
        starts = np.array([region.first for region in self.regions], np.int64) // self.ratio
        rank = 0
        for first, part in self._parts(self.dumped):
            numbers = first + set_bits(part)
            homes = np.searchsorted(starts, numbers, "right") - 1
            cuts = np.flatnonzero(np.diff(homes)) + 1
            for low, high in zip([0, *cuts.tolist()], [*cuts.tolist(), len(numbers)], strict=True):
                for at in range(low, high, BLOCK_PAGES // self.ratio):
                    some = numbers[at : min(at + BLOCK_PAGES // self.ratio, high)]
                    yield self._block(int(homes[at]), some, rank + at)
            rank += len(numbers)

    def _block(self, region: int, numbers: NDArray[np.int64], rank: int) -> Block:
        """A block of these pages of the file's own size, whose descriptors stand from number rank on."""
        count = len(numbers)
        small = (numbers[:, None] * self.ratio + np.arange(self.ratio)).reshape(-1)
        return Block(region, small, lambda: self._load(rank, count))

    def _load(self, rank: int, count: int) -> NDArray[np.uint8]:
        """The contents of count pages, each unpacked once even if many share it, as zero pages of QEMU's do."""
        place = self.descriptors + rank * DESCRIPTOR.itemsize
        rows = np.frombuffer(self.file.read(place, count * DESCRIPTOR.itemsize), DESCRIPTOR)
        kinds, which = np.unique(rows[["offset", "size", "flags"]], return_inverse=True)
        keys = kinds.tolist()
        if any(size > self.page for _, size, _ in keys):
            raise DumpError(f"{self.name}: a page of more than {self.page} bytes: damaged; dump again")
        unpacked = np.empty((len(keys), self.page), np.uint8)
        for index, (key, data) in enumerate(zip(keys, self._packed(keys), strict=True)):
            unpacked[index] = np.frombuffer(self._unpacked(key, data), np.uint8)
        if self.ratio == 1 and len(keys) == 1:
            return same_page(unpacked[0], count)
        pages = unpacked[which.reshape(-1)]
        pages.flags.writeable = False
        return pages.reshape(-1, PAGE_SIZE)

    def _packed(self, keys: list[Key]) -> Iterator[bytes]:
        """The bytes of pages as they stand in the file. keys: by offset. In one read where they lie together."""
        low, high = keys[0][0], max(offset + size for offset, size, _ in keys)
        if high - low <= 2 * sum(size for _, size, _ in keys):
            whole = self.file.read(low, high - low)
            yield from (whole[offset - low : offset - low + size] for offset, size, _ in keys)
        else:
            yield from (self.file.read(offset, size) for offset, size, _ in keys)

    def _unpacked(self, key: Key, data: bytes) -> bytes:
        """One page of the file's own size."""
        offset, size, flags = key
        kind = flags & COMPRESSION
        if kind == 0 and size == self.page:
            return data
        if kind not in CODECS:
            raise DumpError(f"{self.name}: a page of unknown compression {flags:#x}: damaged; dump again")
        try:
            return CODECS[kind](data, self.page)
        except DumpError as error:
            raise DumpError(f"{self.name}: the page at byte {offset} is damaged ({error}); dump again") from error

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def header(file: Source) -> tuple[int, int, int, int]:
    """Page size, blocks of the second header, blocks of both bitmaps, page numbers. DumpError: they cannot be."""
    head = file.read(0, min(PAGE_SIZE, file.size))
    if len(head) < PAGE_SIZE or not head.startswith(MAGIC):
        raise DumpError(f"{file.name}: ends within its kdump header, or has none: truncated or damaged; dump again")
    version = struct.unpack_from("<i", head, 8)[0]
    for at in (WIDE, NARROW):
        page, sub_blocks, bitmap_blocks, numbers = struct.unpack_from("<iiII", head, at)
        if page in (4096, 8192, 16384, 32768, 65536) and 0 < sub_blocks < 1 << 20 and bitmap_blocks:
            break
    else:
        raise DumpError(f"{file.name}: its kdump header is damaged, or of a big-endian machine; dump again")
    sub = file.read(page, 104)
    split = struct.unpack_from("<i", sub, 12 if at == WIDE else 8)[0]
    if split:
        raise DumpError(f"{file.name}: is one part of a split dump; put the parts together: makedumpfile --reassemble")
    if version >= 6:
        numbers = struct.unpack_from("<Q", sub, 96 if at == WIDE else 72)[0] or numbers
    if not 0 < numbers <= MOST_PAGES:
        raise DumpError(f"{file.name}: says that it has {numbers} page numbers: damaged; dump again")
    return page, sub_blocks, bitmap_blocks, numbers
