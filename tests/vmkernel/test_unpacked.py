"""Kernels are taken out of their images, however these are packed."""

from __future__ import annotations

import gzip
import lzma
import struct
from collections.abc import Callable

import cramjam
import pytest
import zstandard

from vmdedup.vmkernel.unpacked import unpacked

NOTE = struct.pack("<III", 4, 8, 18) + b"Xen\0" + bytes(8)
KERNEL = b"\x7fELF" + bytes(range(256)) * 50_000 + NOTE + bytes(100)


def lz4(data: bytes) -> bytes:
    """The old format: a magic number, then blocks of 8 MiB, each with its length before it."""
    parts = [b"\x02\x21\x4c\x18"]
    for start in range(0, len(data), 8 << 20):
        block = bytes(cramjam.lz4.compress_block(data[start : start + (8 << 20)], store_size=False))
        parts.append(struct.pack("<I", len(block)) + block)
    return b"".join(parts)


def image(payload: bytes, sectors: int = 4) -> bytes:
    """A bzImage: real-mode code, then the payload somewhere in what follows, its unpacked length at its end."""
    start = (sectors + 1) * 512
    data = bytearray(start + 100) + payload + struct.pack("<I", len(KERNEL)) + b"behind"
    data[0x1F1] = sectors
    data[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", data, 0x248, 100, len(payload) + 4)
    return bytes(data)


PACKERS = {"gzip": gzip.compress, "xz": lzma.compress, "lz4": lz4, "zstd": zstandard.compress}


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
def test_it_is_unpacked(pack: Callable[[bytes], bytes]) -> None:
    assert unpacked(image(pack(KERNEL))) == KERNEL


@pytest.mark.parametrize(
    "other",
    [
        b"",
        b"no kernel at all" * 1000,
        image(b"BZh9 packed otherwise"),
        image(gzip.compress(KERNEL)[:1000]),
        image(gzip.compress(KERNEL.replace(b"Xen\0", b"xen\0"))),  # cannot be entered without its own unpacking
        image(gzip.compress(b"no ELF" + NOTE)),
    ],
    ids=["nothing", "text", "bzip2", "damaged", "no note", "no ELF"],
)
def test_what_cannot_be_is_left_to_the_guest(other: bytes) -> None:
    assert unpacked(other) is None
