"""Bytes put aside: in memory up to a bound, beyond it in a temporary file without a name."""

from __future__ import annotations

import os

from vmdedup.errors import VmdedupError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self


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

    def _write(self, chunk: bytes | bytearray, at: int) -> None:
        folder = "/tmp"
        try:
            folder = os.environ.get("TMPDIR") or folder
            if self._descriptor < 0:
                self._descriptor = _nameless(folder)
            done = 0
            while done < len(chunk):
                done += os.pwrite(self._descriptor, memoryview(chunk)[done:], at + done)
        except OSError as error:
            remedy = "free some room there, set TMPDIR to another folder, or raise --memory-limit"
            raise VmdedupError(f"cannot write a temporary file in {folder}: {error.strerror}; {remedy}") from None

    def close(self) -> None:
        """Let go of everything."""
        self._kept.clear()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _nameless(folder: str) -> int:
    """A file that nobody can see, and that is gone with its descriptor."""
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        from tempfile import mkstemp  # for file systems without O_TMPFILE

        descriptor, path = mkstemp(dir=folder)
        os.unlink(path)
        return descriptor
