"""Compressing pages one by one: lz4 block format as zram's and zswap's, zstd, or LZO1X."""

from __future__ import annotations

import threading
from typing import Any, Literal

import cramjam
import zstandard
from lzallright import InputNotConsumed, LZOCompressor, LZOError

Codec = Literal["lz4", "zstd", "lzo"]
CODECS: tuple[Codec, ...] = ("lz4", "zstd", "lzo")
ZSTD_LEVEL = 3  # the kernel's default
MOST = 1 << 24  # bytes of a page, unpacked

_local = threading.local()


def compress(page: bytes, codec: Codec) -> bytes:
    """A page, packed; larger than before if it cannot be. ValueError: no such codec."""
    if codec == "lz4":
        return bytes(cramjam.lz4.compress_block(page, store_size=False))
    if codec == "zstd":
        return bytes(_zstd().compress(page))
    if codec == "lzo":
        return bytes(LZOCompressor().compress(page))
    raise ValueError(f"unknown codec {codec!r}")


def decompress(packed: bytes, codec: Codec, size: int = 4096) -> bytes:
    """The page of `size` bytes that was packed. ValueError: no such codec, or these are no bytes of compress()."""
    if codec not in CODECS:
        raise ValueError(f"unknown codec {codec!r}")
    try:
        if codec == "lz4":
            room = bytearray(size)
            written = cramjam.lz4.decompress_block_into(packed, room)
            page = bytes(room[:written])
        elif codec == "lzo":
            page = bytes(LZOCompressor.decompress(packed, size))
        else:
            page = zstandard.ZstdDecompressor(format=zstandard.FORMAT_ZSTD1_MAGICLESS).decompress(packed, MOST)
    except (cramjam.DecompressionError, zstandard.ZstdError, LZOError, InputNotConsumed) as error:
        raise ValueError(f"not a page packed by {codec}: {error}") from None
    if len(page) != size:
        raise ValueError(f"a page of {len(page)} bytes where {size} were packed")
    return page


def _zstd() -> Any:
    """This thread's compressor: a state is never used by two threads. No magic, no checksum: size alone matters."""
    found = getattr(_local, "zstd", None)
    if found is None:
        found = _local.zstd = zstandard.ZstdCompressor(compression_params=_parameters())
    return found


def _parameters() -> zstandard.ZstdCompressionParameters:
    return zstandard.ZstdCompressionParameters.from_level(
        ZSTD_LEVEL, source_size=4096, format=zstandard.FORMAT_ZSTD1_MAGICLESS, write_checksum=0, write_content_size=1
    )
