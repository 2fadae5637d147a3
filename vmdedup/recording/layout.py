"""A recording, byte by byte: a magic, then records, each checksummed, only ever appended.

    magic 8 bytes │ record │ record │ …          record: kind, length, crc32(payload), crc32(head before) │ payload

    HEAD     JSON: version, page_size, created
    GUEST    JSON: name, source; guests are numbered as they come
    REGIONS  JSON: guest, regions [[name, first page, pages], …]: places for pages not seen before
    PAGES    u32 count, then 16 bytes of digest for each page, then one zstd frame of the pages; contents are
             numbered from 1 as they come
    CHANGES  u32 guest, u32 count, then one zstd frame: u32 places[count], u32 contents[count] (0: absent)
    STEP     JSON: time_ns, guests {number: {digest, changed, present}}; makes all before it complete. Of processes that
             are one system also processes {number: {name, oom_score_adj, is_zygote}}

All numbers are little-endian. What follows the last whole STEP is a step that was not finished, and is not looked
at. A guest's pages have places 0, 1, 2, … in the order in which regions were first seen.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

MAGIC: Final = b"VMDDREC\n"
VERSION: Final = 1
HEAD, GUEST, REGIONS, PAGES, CHANGES, STEP = range(1, 7)

RECORD: Final = struct.Struct("<IIII")
COUNT: Final = struct.Struct("<I")
GUEST_COUNT: Final = struct.Struct("<II")
DIGEST_BYTES: Final = 16

MOST_PAYLOAD: Final = 64 << 20  # bytes of a record's payload
MOST_DOCUMENT: Final = 16 << 20  # bytes of JSON in one
MOST_PACKED: Final = 10 << 20  # bytes of a PAGES or CHANGES record, whose contents take 8 MiB at most
MOST_NS: Final = (1 << 63) - 1  # of a step's time
MOST_CREATED: Final = 253_402_300_799  # seconds since 1970 at the end of the year 9999
MOST_BATCH: Final = 256  # pages in a PAGES record
MOST_CHANGES: Final = 1 << 20  # pages in a CHANGES record
MOST_GUEST_PAGES: Final = 1 << 30  # places that a guest may have: 4 TiB
ABSENT: Final = 0


def pack_head(kind: int, payload: bytes) -> bytes:
    """The 16 bytes before a payload."""
    head = struct.pack("<III", kind, len(payload), zlib.crc32(payload))
    return head + struct.pack("<I", zlib.crc32(head))


def unpack_head(head: bytes) -> tuple[int, int, int] | None:
    """Kind, payload's length and checksum; None if this is no head of a record."""
    if len(head) != RECORD.size:
        return None
    kind, length, checksum, own = RECORD.unpack(head)
    if own != zlib.crc32(head[:12]) or length > MOST_PAYLOAD or not HEAD <= kind <= STEP:
        return None
    return kind, length, checksum
