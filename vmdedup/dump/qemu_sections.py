"""State of devices that stands between RAM's in a migration stream: passed over where its format says how long it is.

Source: QEMU's migration/block-dirty-bitmap.c (the format is told at its head), scripts/analyze-migration.py (htab,
storage attributes), hw/vfio/vfio-migration-internal.h, hw/virtio/virtio-mem.c; pve-qemu's migration/pbs-state.c.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Skip = Callable[["Stream", int], bool]  # kind of section: whether all of it was passed over

START = 1
EOS, ZEROES, BITMAP_NAME, DEVICE_NAME, BITMAP_START, COMPLETE, BITS, MORE_FLAGS = (1 << bit for bit in range(8))
DONE, ERROR = 8, 4
HASH_ENTRY = 16
VFIO_END, VFIO_SETUP, VFIO_DATA, VFIO_INITIAL_SENT = (0xFFFF_FFFF_EF10_0000 + kind for kind in (1, 3, 4, 5))


class Stream(Protocol):
    """What is read."""

    def number(self, length: int) -> int:
        """The next bytes as a number."""

    def skip(self, length: int) -> None:
        """Pass over bytes. DumpError: the file ends before."""

    def rewind(self, length: int) -> None:
        """Go back so many bytes."""


def skip_section(stream: Stream, name: str, kind: int) -> bool:
    """Pass over a part of a section of a name; False if it is of no known format."""
    skip = SKIPPED.get(name.rpartition("/")[2] if name not in SKIPPED else name)
    return skip is not None and skip(stream, kind)


def dirty_bitmap(stream: Stream, kind: int) -> bool:
    """Bitmaps of the blocks that backups must copy, in chunks; the last has the flag EOS."""
    while True:
        flags = stream.number(1)
        if flags & MORE_FLAGS:  # no QEMU has written more than one byte of them yet
            return False
        for flag in (DEVICE_NAME, BITMAP_NAME):
            if flags & flag:
                stream.skip(stream.number(1))
        if flags & BITMAP_START:
            stream.skip(4 + 1)
        elif flags & BITS:
            stream.skip(8 + 4)
            if not flags & ZEROES:
                stream.skip(stream.number(8))
        elif not flags & (COMPLETE | EOS):
            return False
        if flags & EOS:
            return True


def hash_table(stream: Stream, kind: int) -> bool:
    """The page table of a POWER guest: first its size alone, then runs of its entries, up to an empty one."""
    if stream.number(4):
        return kind == START
    while True:
        index, valid, invalid = stream.number(4), stream.number(2), stream.number(2)
        if not (index or valid or invalid):
            return True
        stream.skip(valid * HASH_ENTRY)


def storage_attributes(stream: Stream, kind: int) -> bool:
    """Attributes of an s390 guest's pages, up to a mark, DONE within a round or EOS at its end."""
    while True:
        flags = stream.number(8) & 0xFFF
        if flags & EOS:
            return True
        if flags & DONE:
            # After this mark a round is over; some QEMUs write EOS, too.
            if stream.number(8) != EOS:
                stream.rewind(8)
            return True
        if flags & ERROR:
            return False
        stream.skip(stream.number(8))


def vfio(stream: Stream, kind: int) -> bool:
    """State of a device that was passed through: marks, and data with their length."""
    while True:
        mark = stream.number(8)
        if mark in (VFIO_END, VFIO_INITIAL_SENT):
            return True
        if mark == VFIO_DATA:
            stream.skip(stream.number(8))
        elif mark != VFIO_SETUP:
            return False


def virtio_mem(stream: Stream, kind: int) -> bool:
    """Which blocks of hotplugged memory are plugged: address, region's and block's size, node, bytes, a bitmap."""
    stream.skip(8)
    region, block = stream.number(8), stream.number(8)
    stream.skip(4 + 8)
    if not block:
        return False
    stream.skip(-(-(region // block) // 64) * 8)
    return True


def counted(stream: Stream, kind: int) -> bool:
    """Bytes with their length before them: what Proxmox's backups remember."""
    stream.skip(stream.number(8))
    return True


SKIPPED: dict[str, Skip] = {
    "dirty-bitmap": dirty_bitmap,
    "pbs-state": counted,
    "spapr/htab": hash_table,
    "s390-storage_attributes": storage_attributes,
    "vfio": vfio,
    "virtio-mem-device-early": virtio_mem,
}
