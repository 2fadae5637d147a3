"""The kernel inside a bzImage: unpacked here, in a moment, where the guest would take seconds for it.

Source: Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header" (payload); the Xen project's description
of PVH, for the note by which a kernel says that it can be entered so.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Callable

_SECTORS_AT, _MAGIC_AT, _PAYLOAD_AT, _SECTOR = 0x1F1, 0x202, 0x248, 512
_LEAST = 0x250
_MOST_BLOCK = 8 << 20  # of lz4's old format
_NOTE = struct.pack("<I", 18) + b"Xen\0"  # "physical entry point"


def unpacked(image: bytes) -> bytes | None:
    """The ELF kernel of a bzImage; None: it is packed in another way, or cannot be booted without its own unpacking."""
    if len(image) < _LEAST or image[_MAGIC_AT : _MAGIC_AT + 4] != b"HdrS":
        return None
    offset, length = struct.unpack_from("<II", image, _PAYLOAD_AT)
    start = ((image[_SECTORS_AT] or 4) + 1) * _SECTOR + offset
    payload = image[start : start + length]
    for magic, unpack in _PACKERS.items():
        if payload.startswith(magic):
            try:
                kernel = unpack(payload)
            except Exception:  # each packer has errors of its own; the guest shall say what is wrong with it
                return None
            return kernel if kernel.startswith(b"\x7fELF") and _NOTE in kernel else None
    return None


def _zstd(payload: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj().decompress(payload)


def _lz4(payload: bytes) -> bytes:
    import cramjam

    parts, place = [], 4
    while place + 4 < len(payload):
        (size,) = struct.unpack_from("<I", payload, place)
        block = payload[place + 4 : place + 4 + size]
        if len(block) < size:
            break  # what stands at the end: how much it all is
        parts.append(bytes(cramjam.lz4.decompress_block(block, output_len=_MOST_BLOCK)))
        place += 4 + size
    (length,) = struct.unpack_from("<I", payload, len(payload) - 4)
    return b"".join(parts)[:length]


def _xz(payload: bytes) -> bytes:
    return lzma.LZMADecompressor().decompress(payload)


def _gzip(payload: bytes) -> bytes:
    return zlib.decompressobj(31).decompress(payload)


_PACKERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x28\xb5\x2f\xfd": _zstd,
    b"\x02\x21\x4c\x18": _lz4,
    b"\xfd7zXZ\0": _xz,
    b"\x1f\x8b": _gzip,
}
