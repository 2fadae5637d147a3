"""Which memory of a live process is its guest's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal, get_args

from vmdedup.dump.mappings import Only
from vmdedup.dump.process import ProcessDump
from vmdedup.errors import DumpError

Which = Literal["guest"] | Only
CHOICES: Final[tuple[str, ...]] = ("guest", *get_args(Only))
_SIZE = re.compile(rb"(?:size=)?(\d{1,18})([kKmMgG]?)(?:,|\Z)")
_UNITS = {b"k": 1 << 10, b"": 1 << 20, b"m": 1 << 20, b"g": 1 << 30}


def process_memory(pid: int, which: Which) -> ProcessDump:
    """A process's memory as it is now.

    which: see ProcessDump; "guest": what KSM may merge, or if that is nothing and it is a QEMU, the guest's RAM.
    DumpError: it cannot be read, or has no such memory.
    """
    if which != "guest":
        return ProcessDump(pid, which)
    try:
        return ProcessDump(pid)
    except DumpError:
        ram = qemu_ram(pid)
        if ram is None:
            raise
    dump = ProcessDump(pid, "all", size=ram)
    if not dump.regions:
        dump.close()
        raise DumpError(f"pid:{pid} has no mapping of its guest's {ram} bytes; wait for it, or record pid:{pid}:all")
    return dump


def qemu_ram(pid: int) -> int | None:
    """Bytes of RAM that a QEMU gives its guest, by its command line; None: it is no QEMU, or does not say."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    if b"qemu" not in words[0] or b"-m" not in words[:-1]:
        return None
    size = _SIZE.match(words[words.index(b"-m") + 1])
    return int(size[1]) * _UNITS[size[2].lower()] if size else None
