"""Bytes put aside: in memory up to a bound, beyond it in a temporary file without a name."""

from __future__ import annotations

import os

from vmdedup.errors import VmdedupError
from vmdedup.ours.file import nameless, temporary_root


class Spool:
    """Chunks of bytes, kept under the number that put() gives. most: bytes that may be in memory."""

    def __init__(self, most: int) -> None:
        self._room = most
        self._kept: dict[int, bytes] = {}
        self._descriptor = -1
        self.size = 0

    def put(self, chunk: bytes | bytearray) -> int:
        """Put a chunk aside. Returns its number. VmdedupError: there is no room for temporary files."""
        at = self.size
        if self._descriptor < 0 and self._room >= len(chunk):
            self._kept[at] = bytes(chunk)
            self._room -= len(chunk)
        else:
            self._write(chunk, at)
        self.size += len(chunk)
        return at

    def get(self, at: int, length: int) -> bytes:
        """The chunk of that number and length."""
        kept = self._kept.get(at)
        return kept if kept is not None else os.pread(self._descriptor, length, at)

    def open(self) -> None:
        """Make the file, if there is none yet; processes forked from now on share it. VmdedupError: it cannot be."""
        try:
            if self._descriptor < 0:
                self._descriptor = nameless()
        except OSError as error:
            raise _no_room(error) from None

    def _write(self, chunk: bytes | bytearray, at: int) -> None:
        self.open()
        done = 0
        try:
            while done < len(chunk):
                done += os.pwrite(self._descriptor, memoryview(chunk)[done:], at + done)
        except OSError as error:
            raise _no_room(error) from None

    def close(self) -> None:
        """Let go of everything."""
        self._kept.clear()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _no_room(error: OSError) -> VmdedupError:
    remedy = "free some room there, set TMPDIR to another folder, or raise --memory-limit"
    return VmdedupError(f"cannot write a temporary file in {temporary_root()}: {error.strerror}; {remedy}")
