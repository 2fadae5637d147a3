"""Streams of snappy frames in a file, seen as the bytes that they unpack to. Source: snappy's framing_format.txt."""

from __future__ import annotations

import struct
from array import array

import numpy as np
from numpy.typing import NDArray

from vmdedup.dump.codecs import snappy_length, unsnappy
from vmdedup.dump.file import Source, check_range
from vmdedup.errors import DumpError

FRAME_MOST = 65536  # bytes that one frame holds when unpacked
COMPRESSED, PLAIN, STREAM = 0x00, 0x01, 0xFF


class Framed:
    """The bytes of all streams that were added, one after another.

    Of each frame it keeps where it begins when unpacked, where it stands in the file, and its bytes there, as a
    negative number if they are compressed.
    """

    def __init__(self, file: Source) -> None:
        self.file, self.name, self.size = file, file.name, 0
        self.starts, self.places, self.lengths = array("q"), array("q"), array("q")

    def add(self, at: int, size: int) -> int:
        """A stream more, which begins at a byte and unpacks to so many: the byte after it. DumpError: it does not."""
        end = self.size + size
        while self.size < end:
            kind, length = frame_header(self.file, at)
            if kind in (COMPRESSED, PLAIN):
                signed = length if kind == PLAIN else -length
                for column, value in ((self.starts, self.size), (self.places, at + 4), (self.lengths, signed)):
                    column.append(value)
                self.size += frame_length(self.file, at, kind, length)
            elif kind != STREAM and kind < 0x80:
                raise DumpError(f"{self.name}: a snappy frame of unknown kind {kind:#x} at byte {at}; dump again")
            at += 4 + length
        if self.size > end:
            raise DumpError(f"{self.name}: more memory than its range has, before byte {at}: damaged; dump again")
        return at

    def read(self, offset: int, length: int) -> bytes:
        """Exactly so many bytes. DumpError: they are not there, or are damaged."""
        check_range(self, offset, length)
        buffer = np.empty(length, np.uint8)
        self.read_into(offset, buffer)
        return buffer.tobytes()

    def read_into(self, offset: int, buffer: NDArray[np.uint8]) -> None:
        """Fill a contiguous buffer. DumpError: its bytes are not there, or are damaged."""
        check_range(self, offset, buffer.nbytes)
        flat = buffer.reshape(-1)
        end = offset + len(flat)
        one = int(np.searchsorted(np.frombuffer(self.starts, np.int64), offset, "right")) - 1 if len(flat) else 0
        while one < len(self.starts) and self.starts[one] < end:
            start = self.starts[one]
            data = np.frombuffer(self._frame(one), np.uint8)
            low, high = max(start, offset), min(start + len(data), end)
            flat[low - offset : high - offset] = data[low - start : high - start]
            one += 1

    def _frame(self, one: int) -> bytes:
        """A frame's bytes, unpacked. The first four in the file are a checksum."""
        length = self.lengths[one]
        data = self.file.read(self.places[one] + 4, abs(length) - 4)
        if length > 0:
            return data
        after = self.starts[one + 1] if one + 1 < len(self.starts) else self.size
        try:
            return unsnappy(data, after - self.starts[one])
        except DumpError as error:
            raise DumpError(f"{self.name}: a frame at byte {self.places[one]} is damaged ({error})") from error

    def close(self) -> None:
        """Close the file."""
        self.file.close()


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
