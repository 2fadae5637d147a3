"""The records of a recording's file, as far as they are whole."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import zstandard

from vmdedup.errors import DumpError
from vmdedup.inputs import open_input
from vmdedup.recording.layout import MAGIC, MOST_DOCUMENT, PAGES, RECORD, unpack_head


@dataclass(frozen=True)
class Record:
    """Where a record's payload stands. offset, length: bytes in the file."""

    kind: int
    offset: int
    length: int
    checksum: int

    @property
    def end(self) -> int:
        """The byte after it."""
        return self.offset + self.length


class Log:
    """An opened file. DumpError: it is not there, or no recording. Read by position, so copies share the page cache.

    end: the byte after the last whole record that records() gave.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        self.end = len(MAGIC)
        self._descriptor = open_input(path)
        try:
            self.size = os.fstat(self._descriptor).st_size
            self._check_magic()
        except BaseException:
            self.close()
            raise

    def _check_magic(self) -> None:
        if self._read(0, len(MAGIC)) != MAGIC:
            raise DumpError(f"{self.path} is no recording; make one with `vmdedup record`")

    def _read(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError as error:
            raise DumpError(f"{self.path} cannot be read ({error.strerror}); give a recording's file") from None

    def records(self) -> Iterator[Record]:
        """Every whole record, up to the end or to the first that is not. Payloads of pages are not looked at."""
        while (head := unpack_head(self._read(self.end, RECORD.size))) is not None:
            record = Record(head[0], self.end + RECORD.size, head[1], head[2])
            if record.end > self.size or (record.kind != PAGES and not self._is_whole(record)):
                return
            self.end = record.end
            yield record

    def _is_whole(self, record: Record) -> bool:
        return zlib.crc32(self._read(record.offset, record.length)) == record.checksum

    def payload(self, record: Record) -> bytes:
        """A record's bytes, verified."""
        data = self._read(record.offset, record.length)
        if len(data) != record.length or zlib.crc32(data) != record.checksum:
            self.damaged(record, "its checksum is wrong")
        return data

    def numbers(self, record: Record, head: struct.Struct) -> tuple[int, ...]:
        """The numbers that a record's payload begins with."""
        if record.length < head.size:
            self.damaged(record, "it is too short")
        data = self._read(record.offset, head.size)
        if len(data) < head.size:
            self.damaged(record, "the file has become shorter")
        return head.unpack(data)

    def document(self, record: Record) -> dict[str, Any]:
        """A record of JSON."""
        if record.length > MOST_DOCUMENT:
            self.damaged(record, "it is too long")
        try:
            content = json.loads(self.payload(record))
        except (ValueError, RecursionError):
            self.damaged(record, "it is no JSON")
        if not isinstance(content, dict):
            self.damaged(record, "it is no JSON object")
        return content

    def unpack(self, record: Record, packed: bytes, size: int) -> bytes:
        """A zstd frame that must hold exactly so many bytes."""
        try:
            if zstandard.frame_content_size(packed) != size:
                self.damaged(record, "it has another size than it says")
            unpacked = zstandard.ZstdDecompressor().decompress(packed, max_output_size=size)
        except zstandard.ZstdError:
            self.damaged(record, "it cannot be unpacked")
        if len(unpacked) != size:
            self.damaged(record, "it has another size than it says")
        return unpacked

    def damaged(self, record: Record, why: str) -> NoReturn:
        """Raise DumpError: the record cannot be used."""
        raise DumpError(f"{self.path} is damaged at byte {record.offset} ({why}); record again")

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
