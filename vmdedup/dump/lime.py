"""LiME dumps, and AVML's, which are LiME's or have the same headers and snappy frames.

Each range of memory is a header (magic, version, first address, last address) and its bytes; in AVML's second version
a stream of snappy frames and the stream's length. AVML takes the last byte of a range for the one after it, so ranges
end one byte early, and the page in which that byte is missing is left out. It cuts ranges at every 16 MiB and leaves
blocks of zeros out, some versions but for the header: zeros they are, where the blocks around them tell. Source: LiME's
docs/README.md and src/main.c; AVML's README.md and src/image.rs.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise

from vmdedup.dump.extents import HOLE, ExtentDump
from vmdedup.dump.file import Source, check_pages
from vmdedup.dump.segments import Segment, open_segments
from vmdedup.dump.snappy_frames import Framed
from vmdedup.errors import DumpError
from vmdedup.units import PAGE_SIZE

LIME_MAGIC, AVML_MAGIC = b"EMiL", b"AVML"
VERSIONS = {LIME_MAGIC: 1, AVML_MAGIC: 2}
HEADER = struct.Struct("<4sIQQQ")
MOST_RANGES = 1 << 20
AVML_BLOCK = 16 << 20  # bytes at which AVML cuts ranges


@dataclass(frozen=True)
class Range:
    """A range of memory. at: where its bytes, or its frames, stand in the file; HOLE: a block of zeros left out."""

    magic: bytes
    first: int
    size: int
    at: int

    @property
    def after(self) -> int:
        """The address after the last."""
        return self.first + self.size


def open_lime(file: Source) -> ExtentDump:
    """A LiME or AVML dump. DumpError: it is damaged."""
    framed = Framed(file)
    ranges: list[Range] = []
    at = 0
    while at < file.size:
        found = range_header(file, at, len(ranges))
        at += HEADER.size
        if is_left_out(file, at, found):
            ranges.append(Range(found.magic, found.first, found.size, HOLE))
            continue
        if found.magic == AVML_MAGIC:
            place, at = packed(framed, at, found)
        else:
            place, at = at, at + found.size
            if at > file.size:
                raise DumpError(f"{file.name}: ends within the memory from {found.first:#x}: truncated; dump again")
        ranges.append(Range(found.magic, found.first, found.size, place))
    kind = "avml" if ranges[0].magic == AVML_MAGIC else "lime"
    return open_segments(framed if kind == "avml" else file, kind, segments_of(file.name, ranges))


def range_header(file: Source, at: int, before: int) -> Range:
    """The range whose header stands at a byte. DumpError: none does, or it is damaged."""
    if before == MOST_RANGES:
        raise DumpError(f"{file.name}: has more than {MOST_RANGES} memory ranges: damaged; dump again")
    magic, version, first, last, _ = HEADER.unpack(file.read(at, HEADER.size))
    if VERSIONS.get(magic) != version or (before and magic != file.read(0, 4)):
        raise DumpError(f"{file.name}: no header of a memory range at byte {at}: damaged; dump again")
    if last < first:
        raise DumpError(f"{file.name}: a memory range from {first:#x} to {last:#x}: damaged; dump again")
    check_pages(file.name, (last - first + 1) // PAGE_SIZE)
    return Range(magic, first, last - first + 1, at)


def is_left_out(file: Source, at: int, block: Range) -> bool:
    """Whether nothing but its header was written of a block of zeros: the next header, or the end, follows at once."""
    if block.size > AVML_BLOCK:
        return False
    if at == file.size:  # the last block of a range, so one byte short; others are cut off
        return block.after % PAGE_SIZE == PAGE_SIZE - 1
    if at + HEADER.size > file.size:
        return False
    magic, version, first, last, reserved = HEADER.unpack(file.read(at, HEADER.size))
    is_header = magic == block.magic and version == VERSIONS[magic] and not reserved
    return is_header and block.after <= first <= last


def packed(framed: Framed, at: int, block: Range) -> tuple[int, int]:
    """A range's snappy frames: where its bytes stand in what is unpacked, and the byte after it all in the file."""
    file = framed.file
    place = framed.size
    end = framed.add(at, block.size)
    if struct.unpack("<Q", file.read(end, 8))[0] != end - at:
        raise DumpError(f"{file.name}: the range at byte {at} has another length than it says; dump again")
    return place, end + 8


def segments_of(name: str, ranges: list[Range]) -> list[Segment]:
    """The ranges as segments, and the blocks of zeros that AVML left out between them."""
    ranges = sorted(ranges, key=lambda item: (item.first, item.size))
    segments = [(item.first, item.at, item.size, item.size) for item in ranges]
    if is_by_avml(ranges):
        for one, two in pairwise(ranges):
            gap = two.first - one.after
            if one.size == AVML_BLOCK and gap > 0 and gap % AVML_BLOCK == 0:
                check_pages(name, gap // PAGE_SIZE)
                segments.append((one.after, HOLE, gap, gap))
    return segments


def is_by_avml(ranges: list[Range]) -> bool:
    """Whether AVML cut these ranges: LiME itself writes each as a whole, up to its last byte."""
    return (
        ranges[0].magic == AVML_MAGIC
        or any(item.after % PAGE_SIZE == PAGE_SIZE - 1 for item in ranges)
        or any(one.size == AVML_BLOCK and one.after == two.first for one, two in pairwise(ranges))
    )
