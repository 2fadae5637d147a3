"""The directory of a run: it appears whole, under its name, or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmdedup.errors import UsageError, VmdedupError
from vmdedup.shown import json_text


def check_free(path: Path) -> None:
    """Raises UsageError unless a new directory can be made at path (an empty one there is fine)."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file; choose another directory with --output")
    if path.is_dir() and any(path.iterdir()):
        raise UsageError(f"{path} is not empty; choose another directory with --output")
    parent = next(p for p in path.absolute().parents if p.exists())
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".vmdedup-", dir=parent))
    except OSError as error:
        reason = f"nothing can be made in {parent} ({error.strerror})"
        raise UsageError(f"{reason}; choose another directory with --output") from None


def write_directory(path: Path, files: Mapping[str, bytes]) -> None:
    """Writes all files into a directory beside path, then renames it to path.

    A failure (a full disk, say) removes what was written and raises VmdedupError with the reason.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        for name, content in files.items():
            _write(partial / name, content)
        os.rename(partial, path)
    except OSError as error:
        raise VmdedupError(_reason(path, error)) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def json_bytes(document: Mapping[str, Any]) -> bytes:
    """A JSON document as this project writes them: sorted keys, two spaces, one newline at the end."""
    return f"{json_text(document)}\n".encode()


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _reason(path: Path, error: OSError) -> str:
    remedy = "choose another directory with --output"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left for the results in {path}; free some, or {remedy}"
    return f"the results cannot be written to {path}: {error.strerror}; {remedy}"
