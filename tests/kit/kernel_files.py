"""Small kernels: ELF files with relocations behind them, and bzImages that hold them packed."""

from __future__ import annotations

import gzip
import lzma
import struct
from collections.abc import Callable

import lz4.block
import zstandard

ADDRESS = 0xFFFF_FFFF_8100_0000
PAGE = 4096
# Name, flags (1: written, 2: in memory), pages; of these: text, a gap, data, what is for the start, zeros.
SECTIONS = ((".text", 2, 2), ("", 0, 1), (".data", 3, 1), (".init.text", 2, 2), (".bss", 3, 2))
PLACES = ((8, 16), (24,), (32, 8192 - 40))  # 64-bit words, 32-bit words that shrink, 32-bit words that grow
PAGES = sum(pages for *_, pages in SECTIONS)


def content() -> bytes:
    """What the file holds of the kernel: all but its zeros."""
    filled = sum(pages for name, _, pages in SECTIONS if name != ".bss") * PAGE
    return bytes(byte % 251 for byte in range(filled))


def elf() -> bytes:
    """An ELF file of one segment, with its relocations behind it."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name, *_ in SECTIONS if name)
    data = content()
    segment = struct.pack("<IIQQQQQQ", 1, 7, PAGE, ADDRESS, 0x100_0000, len(data), PAGES * PAGE, PAGE)
    at, address, headers = PAGE + len(data), ADDRESS, b""
    for name, flags, pages in SECTIONS:
        if name:
            fields = (names.index(name.encode() + b"\0"), 1, flags, address, PAGE, pages * PAGE, 0, 0, 0, 0)
            headers += struct.pack("<IIQQQQIIQQ", *fields)
        address += pages * PAGE
    headers += struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, at, len(names), 0, 0, 0, 0)
    count = len(headers) // 64
    head = (
        b"\x7fELF\x02\x01"
        + bytes(10)
        + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, ADDRESS, 64, at + len(names), 0, 64, 56, 1, 64, count, count - 1)
    )
    lists = b"".join(struct.pack(f"<{1 + len(some)}I", 0, *(low + place for place in some)) for some in PLACES)
    return (head + segment).ljust(PAGE, b"\0") + data + names + headers + lists


low = ADDRESS & 0xFFFF_FFFF


def bzimage(payload: bytes, packed: str) -> bytes:
    """A bzImage with a payload that is packed so."""
    packers: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "xz": lzma.compress,
        "zstd": zstandard.ZstdCompressor().compress,
        "lz4": lambda data: b"\x02\x21\x4c\x18" + block(data) + struct.pack("<I", len(data)),
        "none": lambda data: data,
    }
    body = packers[packed](payload)
    head = bytearray(2 * 512)
    head[0x1F1] = 1
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", head, 0x248, 16, len(body))
    return bytes(head) + bytes(16) + body


def block(data: bytes) -> bytes:
    """One lz4 block, with its length before it."""
    packed = bytes(lz4.block.compress(data, store_size=False))
    return struct.pack("<I", len(packed)) + packed
