"""Files of ours: temporary ones that nobody sees, and small ones that appear whole, for us alone to read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def temporary_root() -> str:
    """Where temporary files go: TMPDIR, or /tmp."""
    return os.environ.get("TMPDIR") or "/tmp"


def nameless() -> int:
    """A descriptor of a new temporary file that nobody can see, and that is gone when it is closed. Raises OSError."""
    folder = temporary_root()
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:  # file systems without O_TMPFILE
        path = os.path.join(folder, f"vmdedup-{os.urandom(8).hex()}")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        os.unlink(path)
        return descriptor


def write(path: Path, text: str, mode: int = 0o600) -> None:
    """Put a file with this text in place, whole or not at all, in a folder of ours; on disk when it returns.

    Raises OSError.
    """
    partial = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
