"""The headers of kdump-compressed files: of machines of 32 and 64 bit, of either byte order, whole and split dumps.

Nothing in the header says which machine it is of; only one way of reading it makes sense. Source: makedumpfile's
diskdump_mod.h; libkdumpfile's src/kdumpfile/diskdump.c for how 32 bit machines align the second header.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from vmdedup.dump.file import MOST_PAGES, Source
from vmdedup.errors import DumpError
from vmdedup.units import PAGE_SIZE

MAGIC = b"KDUMP   "
PAGE_SIZES = (4096, 8192, 16384, 32768, 65536)
INCOMPLETE = 8  # a bit of the header's status
WIDE, NARROW = 428, 416  # where the header's block size is, in dumps of 64 and of 32 bit machines
SPLIT_SINCE, LONG_SINCE = 2, 6  # header versions
ALL_ONES = 0xFFFF_FFFF


@dataclass(frozen=True)
class KdumpHeader:
    """order: of bytes, as struct has it. page: bytes of the machine's pages, which are the file's blocks.

    sub_blocks: of the second header. bitmap_blocks: of both bitmaps. numbers: of pages that the bitmaps count. first,
    after: the pages that this file is about; all of them unless it is a part of a split dump.
    """

    order: Literal["<", ">"]
    page: int
    sub_blocks: int
    bitmap_blocks: int
    numbers: int
    first: int
    after: int
    is_incomplete: bool


def header(file: Source) -> KdumpHeader:
    """Both headers. DumpError: they cannot be."""
    head = file.read(0, min(PAGE_SIZE, file.size))
    if len(head) < PAGE_SIZE or not head.startswith(MAGIC):
        raise DumpError(f"{file.name}: ends within its kdump header, or has none: truncated or damaged; dump again")
    orders: tuple[Literal["<"], Literal[">"]] = ("<", ">")
    for order in orders:
        for at in (WIDE, NARROW):
            status, page, sub_blocks, blocks, numbers = struct.unpack_from(order + "IiiII", head, at - 4)
            if page in PAGE_SIZES and 0 < sub_blocks < 1 << 20 and blocks:
                version = struct.unpack_from(order + "i", head, 8)[0]
                numbers, first, after = second_header(file, order, at == WIDE, version, page, numbers)
                return KdumpHeader(order, page, sub_blocks, blocks, numbers, first, after, bool(status & INCOMPLETE))
    raise DumpError(f"{file.name}: its kdump header has no page size that a machine has: damaged; dump again")


def second_header(
    file: Source, order: Literal["<", ">"], wide: bool, version: int, page: int, numbers: int
) -> tuple[int, int, int]:
    """How many page numbers there are, the first that the file is about, the one after the last."""
    sub = file.read(page, 104)
    is_split = version >= SPLIT_SINCE and struct.unpack_from(order + "i", sub, 12 if wide else 8)[0]
    first, after = struct.unpack_from(order + ("QQ" if wide else "II"), sub, 16 if wide else 12)
    if version >= LONG_SINCE and wide:
        first, after, long = struct.unpack_from(order + "QQQ", sub, 80)
        numbers = long or numbers
    elif version >= LONG_SINCE and numbers in (0, ALL_ONES):
        numbers = struct.unpack_from(order + "Q", sub, 72)[0]
    if not 0 < numbers <= MOST_PAGES:
        raise DumpError(f"{file.name}: says that it has {numbers} page numbers: damaged; dump again")
    if not is_split:
        return numbers, 0, numbers
    if first > after or not after:  # of few pages, a part may have none
        raise DumpError(f"{file.name}: is a part of a split dump, from page {first} to {after}: damaged; dump again")
    return numbers, min(first, numbers), min(after, numbers)
