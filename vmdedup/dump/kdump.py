"""kdump-compressed files, of `virsh dump --memory-only --format kdump-zlib`, QEMU, makedumpfile and diskdump's heirs.

A file is a header, two bitmaps (pages that exist, pages that were dumped), a descriptor a dumped page, and data. Pages
that exist and were not dumped are absent, and so are pages that a full disk kept from being written: descriptors of
zeros. A part of a split dump has its own range of pages only. Source: makedumpfile's IMPLEMENTATION and diskdump_mod.h;
QEMU's include/sysemu/dump.h.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vmdedup.dump.base import BLOCK_PAGES, Block, Dump, Region, same_page
from vmdedup.dump.bitmap import clear_outside, ones_in, runs_of, set_bits
from vmdedup.dump.codecs import unlzo, unsnappy, unzlib, unzstd
from vmdedup.dump.file import Source, check_pages, check_range
from vmdedup.dump.flattened import FlattenedFile
from vmdedup.dump.kdump_header import header
from vmdedup.errors import DumpError
from vmdedup.units import PAGE_SIZE

CODECS = {1: unzlib, 2: unlzo, 4: unsnappy, 0x20: unzstd}
DESCRIPTOR = np.dtype([("offset", "i8"), ("size", "u4"), ("flags", "u4"), ("page_flags", "u8")])
COMPRESSION = 0x27  # bits of a descriptor's flags
Key = tuple[int, int, int]  # offset, size, flags: where a page's data are
Kept = NDArray[np.bool_] | None  # of pages in a row, those that were written; None: all
MOST_REGIONS = 1 << 16
BITMAP_PART = 1 << 20  # bytes read at a time
MANY_ROWS = 1 << 16  # descriptors looked at together


class KdumpDump(Dump):
    """One kdump-compressed file."""

    format = "kdump"

    def __init__(self, file: Source) -> None:
        self.file, self.name = file, file.name
        head = self.head = header(file)
        self.page, self.ratio = head.page, head.page // PAGE_SIZE
        self.bitmap = self.page * (1 + head.sub_blocks)
        need = -(-head.numbers // (8 * self.page))
        if head.bitmap_blocks < need:
            what = f"{head.numbers} page numbers in bitmaps of {head.bitmap_blocks} blocks"
            raise DumpError(f"{self.name}: {what}: truncated or damaged; dump again")
        # With room for one bitmap only, all that exists was dumped: so diskdump_mod.h and crash have it.
        self.dumped = self.bitmap + (head.bitmap_blocks // 2 * self.page if head.bitmap_blocks >= 2 * need else 0)
        check_range(file, self.bitmap, head.bitmap_blocks * self.page)
        self.descriptors = self.bitmap + head.bitmap_blocks * self.page
        self.row = DESCRIPTOR.newbyteorder(head.order)
        self.regions = [
            Region("memory", first * self.ratio, count * self.ratio)
            for first, count in runs_of(self._parts(self.bitmap, self.dumped), MOST_REGIONS)
        ]
        check_pages(self.name, self.pages)
        self.rows = sum(ones_in(part) for _, part in self._parts(self.dumped))
        self.is_cut = head.is_incomplete or (isinstance(file, FlattenedFile) and file.is_cut)
        if not self.is_cut:
            check_range(file, self.descriptors, self.rows * DESCRIPTOR.itemsize)
            # Descriptors are written in order: one that killed makedumpfile has none at the end.
            self.is_cut = self.rows > 0 and self._descriptors(self.rows - 1, 1)[["offset", "size"]].item() == (0, 0)
        self._present = (self._written() if self.is_cut else self.rows) * self.ratio
        if self.is_cut and not self._present:
            raise DumpError(f"{self.name}: no page was written into it: the disk was full; dump again")

    @property
    def present(self) -> int:
        """Pages that were dumped."""
        return self._present

    def _parts(self, *bitmaps: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Bitmaps ored, in parts: number of the first bit, bytes. Bits of pages of other files are cleared."""
        total = -(-self.head.after // 8)
        for at in range(self.head.first // 8, total, BITMAP_PART):
            length = min(BITMAP_PART, total - at)
            part = np.zeros(length, np.uint8)
            for bitmap in bitmaps:
                part |= np.frombuffer(self.file.read(bitmap + at, length), np.uint8)
            clear_outside(part, self.head.first - at * 8, self.head.after - at * 8)
            yield at * 8, part

    def _descriptors(self, rank: int, count: int) -> NDArray[np.void]:
        """Rows of the table. Of a file that was cut, what is not there is zeros, as in a file with a hole."""
        place, length = self.descriptors + rank * DESCRIPTOR.itemsize, count * DESCRIPTOR.itemsize
        there = max(min(length, self.file.size - place), 0) if self.is_cut else length
        data = self.file.read(place, there) if there else b""
        return np.frombuffer(data.ljust(length, b"\0"), self.row)

    def _kept(self, rows: NDArray[np.void]) -> NDArray[np.bool_]:
        """Which of these rows have a page: where it lies is known, and was written."""
        ends = rows["offset"].astype(np.int64) + rows["size"].astype(np.int64)
        kept = (rows["offset"] > 0) & (rows["size"] > 0) & (ends > 0) & (ends <= self.file.size)
        if isinstance(self.file, FlattenedFile):
            kept &= self.file.has(rows["offset"].astype(np.int64), ends)
        return kept

    def _written(self) -> int:
        """How many pages of a file that was cut were written."""
        ranks = range(0, self.rows, MANY_ROWS)
        return sum(int(self._kept(self._descriptors(at, min(MANY_ROWS, self.rows - at))).sum()) for at in ranks)

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
                    yield from self._block(int(homes[at]), some, rank + at)
            rank += len(numbers)

    def _block(self, region: int, numbers: NDArray[np.int64], rank: int) -> Iterator[Block]:
        """A block of these pages of the file's own size, whose descriptors stand from number rank on."""
        count, kept = len(numbers), None
        if self.is_cut:
            kept = self._kept(self._descriptors(rank, count))
            numbers = numbers[kept]
        if len(numbers):
            small = (numbers[:, None] * self.ratio + np.arange(self.ratio)).reshape(-1)
            yield Block(region, small, lambda: self._load(rank, count, kept))

    def _load(self, rank: int, count: int, kept: Kept) -> NDArray[np.uint8]:
        """The contents of pages, each unpacked once even if many share it, as zero pages of QEMU's do."""
        rows = self._descriptors(rank, count)
        rows = rows if kept is None else rows[kept]
        kinds, which = np.unique(rows[["offset", "size", "flags"]], return_inverse=True)
        keys = kinds.tolist()
        if any(size > self.page for _, size, _ in keys):
            raise DumpError(f"{self.name}: a page of more than {self.page} bytes: damaged; dump again")
        unpacked = np.empty((len(keys), self.page), np.uint8)
        for index, (key, data) in enumerate(zip(keys, self._packed(keys), strict=True)):
            unpacked[index] = np.frombuffer(self._unpacked(key, data), np.uint8)
        if self.ratio == 1 and len(keys) == 1:
            return same_page(unpacked[0], len(rows))
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
