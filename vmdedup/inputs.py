"""Files that commands read for their users: opened so that nothing is ever waited for, and only if they are files.

A FIFO without a writer would be waited for until somebody writes; devices and sockets are no files at all.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from vmdedup.errors import DumpError, UsageError
from vmdedup.limits import TOO_MANY

if TYPE_CHECKING:
    from typing import BinaryIO

_PART = 1 << 18  # bytes
_KINDS = (
    (stat.S_ISDIR, "is a folder; name a file in it"),
    (stat.S_ISFIFO, "is a pipe and no file; where standard input is read, redirect it: - < NAME"),
    (stat.S_ISSOCK, "is a socket and no file"),
    (stat.S_ISBLK, "is a disk and no file; copy what is to be read into a file first"),
    (stat.S_ISCHR, "is a device and no file"),
)


def open_input(path: str | os.PathLike[str], name: str | None = None, error: type[UsageError] = DumpError) -> int:
    """A descriptor of a regular file. name: as errors call it. error: what is raised if it cannot be read."""
    name = str(path) if name is None else name
    try:
        _refuse(os.stat(path).st_mode, name, error)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError) as reason:
        raise error(f"{name}: cannot be opened: {_why(reason)}") from reason
    try:
        _refuse(os.fstat(descriptor).st_mode, name, error)  # it may have become another one
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_input(path: str | os.PathLike[str], most: int, error: type[UsageError]) -> bytes:
    """What a regular file holds. Raises `error`: it cannot be read, or has more than so many bytes."""
    with os.fdopen(open_input(path, error=error), "rb") as file:
        try:
            content = _read(file, most + 1)
        except OSError as reason:
            raise error(f"{path} cannot be read: {_why(reason)}") from None
    if len(content) > most:
        raise error(f"{path} has more than {most >> 10} KiB; no such file is as large")
    return content


def _read(file: BinaryIO, most: int) -> bytes:
    """At most so many bytes. In parts: one read() would take all that memory before there is anything to read."""
    parts: list[bytes] = []
    while most and (part := file.read(min(most, _PART))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def _refuse(mode: int, name: str, error: type[UsageError]) -> None:
    if not stat.S_ISREG(mode):
        raise error(f"{name}: {next((what for is_it, what in _KINDS if is_it(mode)), 'is no regular file')}")


def _why(reason: OSError | ValueError) -> str:
    if not isinstance(reason, OSError):
        return str(reason)
    return TOO_MANY if reason.errno in (errno.EMFILE, errno.ENFILE) else str(reason.strerror)
