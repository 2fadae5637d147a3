"""Opening a dump, whatever its format, which its first bytes tell. File names mean nothing."""

from __future__ import annotations

from pathlib import Path

from vmdedup.dump import elf, raw
from vmdedup.dump.base import Dump
from vmdedup.dump.file import DumpFile

HEAD = 4096


def open_dump(path: str | Path) -> Dump:
    """A dump opened. DumpError: it is of no known format, or is damaged."""
    file = DumpFile(path)
    try:
        return open_file(file)
    except BaseException:
        file.close()
        raise


def open_file(file: DumpFile) -> Dump:
    """The dump that a file holds."""
    head = file.read(0, min(HEAD, file.size))
    if head.startswith(elf.MAGIC):
        return elf.open_elf(file)
    return raw.open_raw(file)
