"""The first file system of a guest, as an archive that the kernel unpacks as it boots.

Source: Documentation/driver-api/early-userspace/buffer-format.rst (cpio, "newc").
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass

FOLDER, FILE, DEVICE = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o755, stat.S_IFCHR | 0o600


@dataclass(frozen=True)
class Entry:
    """A folder, a file or a character device. name: its path, without the first slash."""

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def archive(entries: Iterable[Entry]) -> bytes:
    """The archive; folders come before what is in them."""
    parts = [_entry(number, entry) for number, entry in enumerate(entries, 1)]
    return b"".join([*parts, _entry(0, Entry("TRAILER!!!", 0))])


def _entry(number: int, entry: Entry) -> bytes:
    name = entry.name.encode() + b"\0"
    numbers = (number, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, *entry.device, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % word for word in numbers) + name
    return _padded(header) + _padded(entry.data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
