"""Standard input as a dump: a file that it is redirected from as it is, a pipe by way of a file without a name."""

from __future__ import annotations

import os
import select
import stat
from typing import TYPE_CHECKING

from vmdedup.errors import UsageError, VmdedupError
from vmdedup.ours.file import nameless, temporary_root

if TYPE_CHECKING:
    from vmdedup.scan.reading import Stop

NAME = "-"
PIPES = ("/dev/fd/", "/proc/self/fd/")  # where a shell puts the pipes of <(command)
CHUNK = 1 << 20
LOOK_EVERY = 200  # milliseconds between two looks at whether to stop


def is_stream(name: str) -> bool:
    """Whether a name is that of standard input, or of another pipe that is open already."""
    if name == NAME:
        return True
    try:
        return (name == "/dev/stdin" or name.startswith(PIPES)) and stat.S_ISFIFO(os.stat(name).st_mode)
    except (OSError, ValueError):
        return False


def take(name: str, stop: Stop) -> int:
    """A descriptor of a regular file with all that comes, of which a MiB is in memory.

    UsageError: it is nothing that can be read. VmdedupError: the disk has no room. KeyboardInterrupt: stop() says so.
    """
    try:
        source = os.dup(0) if name == NAME else os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        status = os.fstat(source)
    except OSError:
        raise UsageError(f"{name}: standard input is closed; redirect it: vmdedup scan - < FILE") from None
    if stat.S_ISREG(status.st_mode) and not os.lseek(source, 0, os.SEEK_CUR):
        return source
    try:
        _refuse(name, source, status.st_mode)
        return _kept(name, source, stop)
    finally:
        os.close(source)


def _refuse(name: str, source: int, mode: int) -> None:
    if os.isatty(source):
        raise UsageError(f"{name}: standard input is a terminal; redirect it: vmdedup scan - < FILE")
    if stat.S_ISDIR(mode) or stat.S_ISCHR(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a device"
        raise UsageError(f"{name}: standard input is {what}; redirect it from a file: vmdedup scan - < FILE")


def _kept(name: str, source: int, stop: Stop) -> int:
    """All that comes, in a file without a name; zeros are left out as holes."""
    poll = select.poll()
    poll.register(source, select.POLLIN)
    descriptor, size = -1, 0
    try:
        descriptor = nameless()
        while chunk := _next(source, poll, stop):
            if chunk.count(0) < len(chunk):
                _write(descriptor, chunk, size)
            size += len(chunk)
        os.ftruncate(descriptor, size)
    except BaseException as error:
        if descriptor >= 0:
            os.close(descriptor)
        if not isinstance(error, OSError):
            raise
        remedy = "free some room there, set TMPDIR to another folder, or write it to a file and name that"
        where = f"cannot be kept in {temporary_root()} after {size} bytes: {error.strerror}"
        raise VmdedupError(f"{name}: {where}; {remedy}") from None
    return descriptor


def _next(source: int, poll: select.poll, stop: Stop) -> bytes:
    """What comes next, b"" at the end."""
    while not poll.poll(LOOK_EVERY):
        if stop():
            raise KeyboardInterrupt
    if stop():
        raise KeyboardInterrupt
    return os.read(source, CHUNK)


def _write(descriptor: int, chunk: bytes, at: int) -> None:
    done = 0
    while done < len(chunk):
        done += os.pwrite(descriptor, memoryview(chunk)[done:], at + done)
