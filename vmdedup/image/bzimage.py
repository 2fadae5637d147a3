"""The kernel inside a bzImage, unpacked.

    setup │ unpacking code │ payload: an ELF file, packed, and what stands behind it

Source: the Linux/x86 boot protocol (Documentation/arch/x86/boot.rst: setup_sects, payload_offset, payload_length).
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Final

from vmdedup.errors import UsageError

ELF: Final = b"\x7fELF"
_SECTORS_AT, _MAGIC_AT, _PAYLOAD_AT, _SECTOR = 0x1F1, 0x202, 0x248, 512
_LEAST = 0x250
_MOST = 256 << 20
_MOST_BLOCK = 8 << 20  # of lz4's old format


def unpacked(image: bytes) -> bytes:
    """The payload of a bzImage: an ELF file, and what stands behind it. UsageError: there is none, with the reason."""
    payload = _payload(image)
    for magic, unpack in _PACKERS.items():
        if payload.startswith(magic):
            try:
                kernel = unpack(payload)
            except Exception as error:  # each packer has errors of its own
                raise UsageError(f"its payload cannot be unpacked ({error})") from None
            if not kernel.startswith(ELF):
                raise UsageError("its payload is no ELF file")
            return kernel
    raise UsageError("its compression is not known")


def loaded(image: bytes) -> bytes:
    """The part that a boot loader puts into memory, to be run there."""
    return image[((image[_SECTORS_AT] or 4) + 1) * _SECTOR :]


def _payload(image: bytes) -> bytes:
    if len(image) < _LEAST or image[_MAGIC_AT : _MAGIC_AT + 4] != b"HdrS":
        raise UsageError("it has no boot header")
    offset, length = struct.unpack_from("<II", image, _PAYLOAD_AT)
    payload = loaded(image)[offset : offset + length]
    if not length or len(payload) < length:
        raise UsageError("its payload does not lie in it")
    return payload


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
    return lzma.LZMADecompressor().decompress(payload, _MOST)


def _gzip(payload: bytes) -> bytes:
    return zlib.decompressobj(31).decompress(payload, _MOST)


_PACKERS: Mapping[bytes, Callable[[bytes], bytes]] = {
    b"\x28\xb5\x2f\xfd": _zstd,
    b"\x02\x21\x4c\x18": _lz4,
    b"\xfd7zXZ\0": _xz,
    b"\x1f\x8b": _gzip,
}
