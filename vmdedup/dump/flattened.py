"""makedumpfile's flattened files, seen as the files that they stand for: QEMU's kdump-zlib is written so.

A flattened file is a header of 4096 bytes and a list of writes: offset, length, bytes; of two writes to one place
the later holds. A file that a full disk cut short ends without the mark that ends the list; what stands in it counts.
Source: makedumpfile(8), option -F; makedumpfile.h, struct makedumpfile_header.
"""

from __future__ import annotations

import struct
from array import array
from typing import cast

import numpy as np
from numpy.typing import NDArray

from vmdedup.dump.base import Dump
from vmdedup.dump.file import Source, check_range
from vmdedup.dump.overlap import uppermost
from vmdedup.dump.recognising import recognised
from vmdedup.errors import DumpError

HEADER = 4096
INNER = ("elf", "kdump")  # formats that makedumpfile flattens
RECORD = struct.Struct(">qq")
WINDOW = 1 << 16
MOST_WRITES, MOST_OVERLAPPING = 1 << 24, 1 << 20
TOO_MANY = "has too many writes to follow; put them in order first: makedumpfile -R OUT < IN"
SPREAD, LEAST = 8, 1 << 24  # the file stood for: at most so many times the flattened one, plus so many bytes


def open_flattened(file: Source) -> Dump:
    """The dump that a flattened file stands for. DumpError: it stands for none, or is damaged."""
    whole = FlattenedFile(file)
    kind = recognised(whole)
    if kind is None or kind.reader is None or kind.reader.format not in INNER:
        raise DumpError(f"{file.name}: is a flattened file of no dump; make it anew with makedumpfile -F")
    return cast(Dump, kind.reader.load()(whole))


class FlattenedFile:
    """The file that a flattened file stands for. Bytes that no write gave are zeros. is_cut: it was not ended."""

    def __init__(self, file: Source) -> None:
        self.file, self.name = file, file.name
        (starts, lengths, places), self.is_cut = writes(file)
        if len(starts) > MOST_OVERLAPPING and overlapping(starts, lengths):
            raise DumpError(f"{file.name}: {TOO_MANY}")
        self.starts, self.lengths, self.places = latest(starts, lengths, places)
        self.size = int(self.starts[-1] + self.lengths[-1]) if len(self.starts) else 0
        if self.size > SPREAD * file.size + LEAST:
            raise DumpError(f"{file.name}: writes at byte {self.size - 1}, far beyond its data: damaged; dump again")

    def read(self, offset: int, length: int) -> bytes:
        """Exactly so many bytes. DumpError: they are not in the file."""
        check_range(self, offset, length)
        buffer = np.empty(length, np.uint8)
        self.read_into(offset, buffer)
        return buffer.tobytes()

    def read_into(self, offset: int, buffer: NDArray[np.uint8]) -> None:
        """Fill a contiguous buffer. DumpError: its bytes are not in the file."""
        check_range(self, offset, buffer.nbytes)
        flat = buffer.reshape(-1)
        end = offset + len(flat)
        index = max(int(np.searchsorted(self.starts, offset, "right")) - 1, 0)
        flat[:] = 0
        while index < len(self.starts) and int(self.starts[index]) < end:
            start = int(self.starts[index])
            low, high = max(start, offset), min(start + int(self.lengths[index]), end)
            if low < high:
                self.file.read_into(int(self.places[index]) + low - start, flat[low - offset : high - offset])
            index += 1

    def has(self, offsets: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether all bytes of these ranges were written."""
        after = self.starts + self.lengths
        breaks = np.flatnonzero(self.starts[1:] != after[:-1])
        first, last = self.starts[np.append(0, breaks + 1)], after[np.append(breaks, -1)]
        which = np.searchsorted(first, offsets, "right") - 1
        found: NDArray[np.bool_] = (which >= 0) & (ends <= last[which])
        return found

    def close(self) -> None:
        """Close the flattened file."""
        self.file.close()


Columns = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def writes(file: Source) -> tuple[Columns, bool]:
    """The writes as they stand: offsets, lengths, where in the flattened file their bytes are; whether it is cut."""
    columns = array("q"), array("q"), array("q")
    at, window, window_at, is_cut = HEADER, b"", HEADER, False
    while not is_cut:
        if at + RECORD.size > file.size:
            is_cut = True
            break
        if not window_at <= at <= window_at + len(window) - RECORD.size:
            window, window_at = file.read(at, min(WINDOW, file.size - at)), at
        offset, length = RECORD.unpack_from(window, at - window_at)
        at += RECORD.size
        if offset < 0 and length < 0:
            break
        if offset < 0 or length <= 0 or offset + length > 1 << 62:
            what = f"a write of {length} bytes at {offset} cannot be"
            raise DumpError(f"{file.name}: {what}: damaged; dump again")
        if len(columns[0]) == MOST_WRITES:
            raise DumpError(f"{file.name}: {TOO_MANY}")
        is_cut = at + length > file.size
        length = min(length, file.size - at)
        if length:
            for column, value in zip(columns, (offset, length, at), strict=True):
                column.append(value)
        at += length
    starts, lengths, places = (np.frombuffer(column, np.int64) for column in columns)
    return (starts, lengths, places), is_cut


def latest(starts: NDArray[np.int64], lengths: NDArray[np.int64], places: NDArray[np.int64]) -> Columns:
    """What holds after all writes, in order of offset and without overlaps."""
    order = np.argsort(starts, kind="stable")
    starts, lengths, places = starts[order], lengths[order], places[order]
    return painted(starts, lengths, places) if overlapping(starts, lengths) else (starts, lengths, places)


def overlapping(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> bool:
    """Whether any two writes overlap."""
    order = np.argsort(starts, kind="stable")
    return bool((starts[order][:-1] + lengths[order][:-1] > starts[order][1:]).any())


def painted(starts: NDArray[np.int64], lengths: NDArray[np.int64], places: NDArray[np.int64]) -> Columns:
    """Overlapping writes cut into parts that do not overlap; the one that came last in the file is on top."""
    columns = array("q"), array("q"), array("q")
    order = np.argsort(places)
    starts, lengths, places = starts[order], lengths[order], places[order]
    ranges = list(zip(starts.tolist(), (starts + lengths).tolist(), strict=True))
    for low, high, index in uppermost(ranges):
        for column, value in zip(columns, (low, high - low, int(places[index]) + low - ranges[index][0]), strict=True):
            column.append(value)
    starts, lengths, places = (np.frombuffer(column, np.int64) for column in columns)
    return starts, lengths, places
