"""LiME dumps, and AVML's, which are LiME's or have the same headers and snappy frames.

Each range of memory is a header (magic, version, first address, last address) and its bytes; in AVML's second version
a stream of snappy frames and the stream's length. Source: LiME's doc/README.md; AVML's README.md; snappy's
framing_format.txt.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vmdedup.dump.base import BLOCK_PAGES, PAGE_SIZE, Block, Dump
from vmdedup.dump.codecs import snappy_length, unsnappy
from vmdedup.dump.extents import ExtentDump, Segment, laid_out, regions_of
from vmdedup.dump.file import Source, check_pages
from vmdedup.errors import DumpError

LIME_MAGIC, AVML_MAGIC = b"EMiL", b"AVML"
HEADER = struct.Struct("<4sIQQQ")
MOST_RANGES = 1 << 20
FRAME_MOST = 65536  # bytes that one snappy frame holds when unpacked
COMPRESSED, PLAIN, STREAM = 0x00, 0x01, 0xFF


def open_lime(file: Source) -> Dump:
    """A LiME or AVML dump. DumpError: it is damaged."""
    if file.read(0, 4) == AVML_MAGIC:
        return AvmlDump(file)
    segments: list[Segment] = []
    at = 0
    while at < file.size:
        first, size = range_header(file, at, LIME_MAGIC, 1, len(segments))
        at += HEADER.size
        if at + size > file.size:
            raise DumpError(f"{file.name}: ends within the memory from {first:#x}: truncated; dump again")
        segments.append((first, at, size, size))
        at += size
    regions, extents = laid_out(file.name, sorted(segments))
    return ExtentDump(file.name, "lime", regions, [file], lambda: iter(extents))


def range_header(file: Source, at: int, magic: bytes, version: int, before: int) -> tuple[int, int]:
    """First address and bytes of the range whose header stands at a byte. DumpError: none does, or it is damaged."""
    if before == MOST_RANGES:
        raise DumpError(f"{file.name}: has more than {MOST_RANGES} memory ranges: damaged; dump again")
    found, number, first, last, _ = HEADER.unpack(file.read(at, HEADER.size))
    if found != magic or number != version:
        raise DumpError(f"{file.name}: no header of a memory range at byte {at}: damaged; dump again")
    if last < first:
        raise DumpError(f"{file.name}: a memory range from {first:#x} to {last:#x}: damaged; dump again")
    check_pages(file.name, (last - first + 1) // PAGE_SIZE)
    return first, last - first + 1


class Frames:
    """The snappy frames of one range: where each begins when unpacked, and where its data are in the file."""

    def __init__(self, file: Source, at: int, size: int) -> None:
        starts, places, lengths, total = array("q"), array("q"), array("q"), 0
        while total < size:
            kind, length = frame_header(file, at)
            if kind in (COMPRESSED, PLAIN):
                for column, value in ((starts, total), (places, at + 4), (lengths, length if kind else -length)):
                    column.append(value)
                total += frame_length(file, at, kind, length)
            elif kind != STREAM and kind < 0x80:
                raise DumpError(f"{file.name}: a snappy frame of unknown kind {kind:#x} at byte {at}; dump again")
            at += 4 + length
        if total > size:
            raise DumpError(f"{file.name}: more memory than its range has, before byte {at}: damaged; dump again")
        self.starts, self.places, self.lengths, self.size, self.end = starts, places, lengths, size, at


def frame_header(file: Source, at: int) -> tuple[int, int]:
    """Kind and length of a frame."""
    word = int(struct.unpack("<I", file.read(at, 4))[0])
    return word & 0xFF, word >> 8


def frame_length(file: Source, at: int, kind: int, length: int) -> int:
    """How many bytes a frame holds when unpacked; the first four of its data are a checksum."""
    if length < 5 or at + 4 + length > file.size:
        raise DumpError(f"{file.name}: a snappy frame of {length} bytes at byte {at}: truncated or damaged; dump again")
    unpacked = length - 4 if kind == PLAIN else snappy_length(file.read(at + 8, min(5, length - 4)))
    if not 0 < unpacked <= FRAME_MOST:
        raise DumpError(f"{file.name}: a snappy frame of {unpacked} bytes at byte {at}: damaged; dump again")
    return unpacked


class AvmlDump(Dump):
    """AVML's second version."""

    format = "avml"

    def __init__(self, file: Source) -> None:
        self.file, self.name = file, file.name
        found: list[tuple[int, int, Frames]] = []
        at = 0
        while at < file.size:
            first, size = range_header(file, at, AVML_MAGIC, 2, len(found))
            if first % PAGE_SIZE or size % PAGE_SIZE:
                raise DumpError(f"{self.name}: a range of {size} bytes at {first:#x}: no whole pages; dump again")
            frames = Frames(file, at + HEADER.size, size)
            if struct.unpack("<Q", file.read(frames.end, 8))[0] != frames.end - at - HEADER.size:
                raise DumpError(f"{self.name}: the range at byte {at} has another length than it says; dump again")
            found.append((first // PAGE_SIZE, size // PAGE_SIZE, frames))
            at = frames.end + 8
        found.sort(key=lambda item: item[:2])
        self.frames = [frames for _, _, frames in found]
        self.regions = regions_of(self.name, [(first, pages, f"{first * PAGE_SIZE:#x}") for first, pages, _ in found])
        check_pages(self.name, self.pages)

    @property
    def present(self) -> int:
        """All pages of all ranges."""
        return self.pages

    def blocks(self) -> Iterator[Block]:
        """Each range in blocks of at most 2048 pages, that begin at multiples of 16 pages, as frames mostly do."""
        for index, region in enumerate(self.regions):
            for at in range(0, region.pages, BLOCK_PAGES):
                count = min(BLOCK_PAGES, region.pages - at)
                numbers = np.arange(region.first + at, region.first + at + count)
                yield Block(index, numbers, partial(self._load, index, at, count))

    def _load(self, index: int, at: int, count: int) -> NDArray[np.uint8]:
        """The contents of count pages of a range, from its page number `at` on."""
        frames = self.frames[index]
        low, high = at * PAGE_SIZE, (at + count) * PAGE_SIZE
        pages = np.empty(high - low, np.uint8)
        one = int(np.searchsorted(np.frombuffer(frames.starts, np.int64), low, "right")) - 1
        while one < len(frames.starts) and frames.starts[one] < high:
            start = frames.starts[one]
            data = np.frombuffer(self._frame(frames, one), np.uint8)
            begin, end = max(start, low), min(start + len(data), high)
            pages[begin - low : end - low] = data[begin - start : end - start]
            one += 1
        pages.flags.writeable = False
        return pages.reshape(-1, PAGE_SIZE)

    def _frame(self, frames: Frames, one: int) -> bytes:
        """A frame's bytes, unpacked."""
        length = frames.lengths[one]
        data = self.file.read(frames.places[one] + 4, abs(length) - 4)
        if length > 0:
            return data
        after = frames.starts[one + 1] if one + 1 < len(frames.starts) else frames.size
        try:
            return unsnappy(data, after - frames.starts[one])
        except DumpError as error:
            raise DumpError(f"{self.name}: a frame at byte {frames.places[one]} is damaged ({error})") from error

    def close(self) -> None:
        """Close the file."""
        self.file.close()
