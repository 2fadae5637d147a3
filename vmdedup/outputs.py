"""Files that commands write for their users: no file is replaced that vmdedup did not make, unless --force says so.

    with Output(path, force, inputs) as output:    before the work: refuses, and tries whether the folder can be written
        ...
        output.write(writer)                       after it: the file appears whole, or what stood there stays

What is written has no name until it is whole, so that nothing is left wherever the command ends. A page or a picture
that carries MARK was made by an earlier run, and its successor may take its place, as it may that of an empty file;
whatever else stands there stays, unless --force is given. What a command reads is never replaced, and neither is
anything that is no regular file.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from vmdedup.closing import Closing
from vmdedup.errors import UsageError, VmdedupError

MARK: Final = "Made by vmdedup"
_LOOKED_AT: Final = 4096  # bytes at each end of a file in which the mark may stand


class Output(Closing):
    """One file, from before the work until it is written; a context manager."""

    def __init__(self, path: str | Path, force: bool = False, inputs: Iterable[str | Path] = ()) -> None:
        """force: replace what is there. inputs: what the command reads. UsageError: it cannot be written there."""
        self.path = Path(path)
        self._force, self._inputs = force, tuple(inputs)
        check_output(self.path, force, self._inputs)
        try:
            self._file, self._name = _open_beside(self.path)
        except OSError as error:
            raise UsageError(_reason(self.path, error)) from None

    def write(self, writer: Callable[[IO[bytes]], object]) -> None:
        """Have the file written: writer gets it open. VmdedupError: it cannot be, or somebody has just made another."""
        try:
            writer(self._file)
            self._file.flush()
            os.fsync(self._file.fileno())  # so that a full disk is found out before the name changes
            check_output(self.path, self._force, self._inputs)
            self._give_name()
        except OSError as error:
            raise VmdedupError(_reason(self.path, error)) from None

    def write_bytes(self, content: bytes) -> None:
        """Have the file hold these bytes. Errors as of write()."""
        self.write(lambda file: file.write(content))

    def close(self) -> None:
        """Let go of what has no name yet."""
        with suppress(OSError):  # of a full disk, which was told already
            self._file.close()
        if self._name is not None:
            self._name.unlink(missing_ok=True)

    def _give_name(self) -> None:
        if self._name is None:
            self._name = _random_name(self.path)
            number = self._file.fileno()
            # The folder's descriptor means nothing beside a whole path; with one Python follows the link that this is.
            os.link(f"/proc/self/fd/{number}", self._name, src_dir_fd=number, follow_symlinks=True)
        os.replace(self._name, self.path)
        self._name = None


def _open_beside(path: Path) -> tuple[IO[bytes], Path | None]:
    """A file in the same folder, open for writing: without a name, or under one where a file system needs one."""
    try:
        return open(os.open(path.absolute().parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666), "w+b"), None
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
    name = _random_name(path)
    return name.open("x+b"), name


def _random_name(path: Path) -> Path:
    """A name in the same folder that nobody can foretell, never too long."""
    return path.absolute().parent / f".vmdedup-{os.urandom(8).hex()}"


def make_folder(path: Path) -> None:
    """A folder for files of ours, unless there is one. UsageError: it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise UsageError(_reason(path, error)) from None


def check_output(path: Path, force: bool = False, inputs: Iterable[str | Path] = ()) -> None:
    """Raise UsageError if a file must not be written at path; nothing is made."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        if os.access(Path(path).absolute().parent, os.W_OK | os.X_OK):
            return
        raise UsageError(f"{path} cannot be written: no folder that can be written to; choose another file") from None
    except (OSError, ValueError) as error:
        raise UsageError(_reason(path, error)) from None
    if stat.S_ISLNK(status.st_mode):
        raise UsageError(f"{path} is a symbolic link; name the file itself")
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise UsageError(f"{path} is {what}; choose another file")
    if any(_identity(Path(each)) == (status.st_dev, status.st_ino) for each in inputs):
        raise UsageError(f"{path} is read by this very command; choose another file to write")
    if not force and status.st_size and not is_ours(path):
        raise UsageError(f"{path} is there already; choose another file, or replace it with --force")


def is_ours(path: Path) -> bool:
    """Whether a file is a page or picture that vmdedup has made: it carries MARK near its beginning or end."""
    try:
        with path.open("rb") as file:
            head = file.read(_LOOKED_AT)
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LOOKED_AT))
            return MARK.encode() in head or MARK.encode() in file.read(_LOOKED_AT)
    except OSError:
        return False


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _reason(path: Path, error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        return f"{path} cannot be written: {error}; choose another file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{path} cannot be written: no space left; free some, or choose another file"
    return f"{path} cannot be written: {error.strerror}; choose another file"
