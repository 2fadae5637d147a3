"""Unpacking what dumps compress, never into more bytes than the caller said that there are.

Data that unpack to more or less than that are damaged, or a bomb: DumpError, after at most a bounded number of bytes.
Python code may unpack in several threads at once: the libraries let go of the interpreter's lock.
"""

from __future__ import annotations

import bz2
import lzma
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol, cast

import cramjam
import zstandard
from lzallright import InputNotConsumed, LZOCompressor, LZOError

from vmdedup.dump.file import Source
from vmdedup.errors import DumpError

CHUNK = 1 << 20  # bytes, of a stream that is unpacked step by step
THREAD = threading.local()  # zstd's decompressor, which costs more than a page, and serves one thread at a time
LZO_EXPANSION = 256  # LZO1X makes at most so many bytes of one


def unzlib(data: bytes, length: int) -> bytes:
    """One zlib stream of exactly length bytes. DumpError: it is damaged."""
    unpacker = zlib.decompressobj()
    try:
        out = unpacker.decompress(data, length + 1)
    except zlib.error as error:
        raise DumpError(f"zlib: {error}") from error
    if len(out) == length and not unpacker.eof:
        raise DumpError("zlib: the stream has no end")
    return exactly(out, length, "zlib")


def unlzo(data: bytes, length: int) -> bytes:
    """One LZO1X block of exactly length bytes. DumpError: it is damaged."""
    if len(data) > 2 * length + LZO_EXPANSION:
        raise DumpError(f"LZO: {len(data)} bytes for {length}")
    try:
        out = LZOCompressor.decompress(data, length)
    except InputNotConsumed as error:  # whose text is the whole page
        raise DumpError("LZO: bytes follow its end") from error
    except LZOError as error:
        raise DumpError(f"LZO: {error}") from error
    return exactly(out, length, "LZO")


def unsnappy(data: bytes, length: int) -> bytes:
    """One raw snappy block of exactly length bytes. DumpError: it is damaged."""
    out = bytearray(length)
    try:
        if snappy_length(data) != length:
            raise DumpError(f"snappy: unpacks to {snappy_length(data)} bytes instead of {length}")
        got = int(cramjam.snappy.decompress_raw_into(data, out)) if length else 0
    except cramjam.DecompressionError as error:
        raise DumpError(f"snappy: {error}") from error
    return exactly(bytes(out[:got]), length, "snappy")


def snappy_length(data: bytes) -> int:
    """What a raw snappy block says that it unpacks to. DumpError: it says nothing. Source: snappy's format, 1."""
    value = 0
    for index, byte in enumerate(data[:5]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value
    raise DumpError("snappy: a block without a length")


def unzstd(data: bytes, length: int) -> bytes:
    """One zstd frame of exactly length bytes. DumpError: it is damaged."""
    try:
        if zstandard.frame_content_size(data) > length:
            raise DumpError(f"zstd: unpacks to more than {length} bytes")
        if not hasattr(THREAD, "zstd"):
            THREAD.zstd = zstandard.ZstdDecompressor()
        out: bytes = THREAD.zstd.decompress(data, max_output_size=length)
    except zstandard.ZstdError as error:
        raise DumpError(f"zstd: {error}") from error
    return exactly(out, length, "zstd")


def exactly(data: bytes, length: int, codec: str) -> bytes:
    """Data, if they are as long as they should be. DumpError: they are not."""
    if len(data) != length:
        what = "more" if len(data) > length else f"{len(data)}"
        raise DumpError(f"{codec}: unpacks to {what} bytes instead of {length}")
    return data


class Unpacker(Protocol):
    """What zlib, bz2 and lzma have in common, as their decompressors are objects of like methods."""

    @property
    def eof(self) -> bool:
        """Whether the stream came to its end."""

    def decompress(self, data: bytes, max_length: int = ...) -> bytes:
        """At most max_length bytes more; the rest of data is kept."""


def gzip_stream(source: Source, start: int) -> Iterator[bytes]:
    """A gzip file from a byte on, in pieces of at most a MiB. DumpError: it is damaged."""
    unpacker = zlib.decompressobj(wbits=31)
    for piece in pieces(source, start):
        data = piece
        while data and not unpacker.eof:
            yield step(source, unpacker.decompress, data)
            data = unpacker.unconsumed_tail
    finished(source, unpacker.eof)


def buffered_stream(source: Source, start: int, make: Callable[[], Unpacker]) -> Iterator[bytes]:
    """A bzip2 or xz file from a byte on, in pieces of at most a MiB. DumpError: it is damaged."""
    unpacker = make()
    for piece in pieces(source, start):
        data = piece
        while not unpacker.eof:
            out = step(source, unpacker.decompress, data)
            if not out:
                break
            data = b""
            yield out
    finished(source, unpacker.eof)


def bzip2_stream(source: Source, start: int) -> Iterator[bytes]:
    """A bzip2 file from a byte on, in pieces of at most a MiB. DumpError: it is damaged."""
    return buffered_stream(source, start, bz2.BZ2Decompressor)


def xz_stream(source: Source, start: int) -> Iterator[bytes]:
    """An xz file from a byte on, in pieces of at most a MiB. DumpError: it is damaged."""
    return buffered_stream(source, start, lambda: lzma.LZMADecompressor(memlimit=1 << 28))


def zstd_stream(source: Source, start: int) -> Iterator[bytes]:
    """A zstd file from a byte on, in pieces of at most a MiB. DumpError: it is damaged."""
    packed = cast(BinaryIO, SourceReader(source, start))
    reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(packed)
    while out := step(source, lambda _, most: reader.read(most), b""):
        yield out


class SourceReader:
    """A source as a file that is read once from a byte on."""

    def __init__(self, source: Source, at: int) -> None:
        self.source, self.at = source, at

    def read(self, most: int = CHUNK) -> bytes:
        """The next bytes, none at the end."""
        length = min(most if most > 0 else CHUNK, self.source.size - self.at)
        self.at += length
        return self.source.read(self.at - length, length)


def pieces(source: Source, start: int) -> Iterator[bytes]:
    """A file's bytes from one on, a MiB at a time."""
    reader = SourceReader(source, start)
    while piece := reader.read():
        yield piece


def step(source: Source, decompress: Callable[[bytes, int], bytes], data: bytes) -> bytes:
    """At most a MiB more of a stream. DumpError: it is damaged."""
    try:
        return decompress(data, CHUNK)
    except (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, EOFError) as error:
        raise DumpError(f"{source.name}: its compressed part is damaged: {error}; dump again") from error


def finished(source: Source, whole: bool) -> None:
    """DumpError unless a compressed stream came to its end."""
    if not whole:
        raise DumpError(f"{source.name}: ends within its compressed part: truncated; dump again")
