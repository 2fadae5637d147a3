"""ELF core files: `virsh dump --memory-only`, QEMU's dump-guest-memory, /proc/vmcore, VirtualBox, gcore.

Pages are numbered by physical address; in cores of processes, which have none, by virtual address. Pages that stand
only in part in a segment are left out: they belong to no one content. Source: System V ABI, chapters 4 and 5; the
number of segments beyond 65,534 (PN_XNUM): its Linux extension, as elf(5) has it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vmdedup.dump.extents import ExtentDump, Segment, laid_out
from vmdedup.dump.file import Source, table
from vmdedup.errors import DumpError

MAGIC = b"\x7fELF"
ET_CORE, PT_LOAD, PN_XNUM = 4, 1, 0xFFFF
MOST_SEGMENTS = 1 << 20
U2, U4, U8 = "u2", "u4", "u8"
ROWS_32 = [(name, U4) for name in ("type", "offset", "vaddr", "paddr", "filesz", "memsz", "flags", "align")]
ROWS_64 = [("type", U4), ("flags", U4)]
ROWS_64 += [(name, U8) for name in ("offset", "vaddr", "paddr", "filesz", "memsz", "align")]


def open_elf(file: Source) -> ExtentDump:
    """An ELF core file, 32 or 64 bit, either byte order. DumpError: it is no core, or is damaged."""
    segments = load_segments(file)
    spans = without_aliases(file.name, segments)
    regions, extents = laid_out(file.name, spans)
    if not extents:
        raise DumpError(f"{file.name}: is an ELF core file with no memory in it; dump again")
    return ExtentDump(file.name, "elf", regions, [file], lambda: iter(extents))


def load_segments(file: Source) -> list[Segment]:
    """The memory segments that are not empty, by address."""
    loads = program_headers(file)
    loads = loads[loads["type"] == PT_LOAD]
    physical = bool(loads["paddr"].any()) or not loads["vaddr"].any()
    address = "paddr" if physical else "vaddr"
    segments = []
    for row in loads:
        start, offset = int(row[address]), int(row["offset"])
        filed, size = int(row["filesz"]), int(row["memsz"])
        if filed > size:
            size = filed
        if offset + filed > file.size:
            raise DumpError(f"{file.name}: the segment at {start:#x} goes past the file's end: truncated; dump again")
        if start + size > 1 << 64:
            raise DumpError(f"{file.name}: the segment at {start:#x} goes past every address: damaged; dump again")
        if size:
            segments.append((start, offset, filed, size))
    return sorted(segments)


def program_headers(file: Source) -> NDArray[np.void]:
    """The table of segments, in native byte order fields."""
    head = file.read(0, min(64, file.size))
    wide, order = head_kind(file.name, head)
    layout = order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH")
    if len(head) < 16 + struct.calcsize(layout):
        raise DumpError(f"{file.name}: ends within its ELF header: truncated; dump again")
    kind, _, _, _, at, sections_at, _, _, row_size, count, *_ = struct.unpack_from(layout, head, 16)
    if kind != ET_CORE:
        raise DumpError(f"{file.name}: is an ELF file, but no core (type {kind}); name a memory dump")
    rows = np.dtype([(name, order + code) for name, code in (ROWS_64 if wide else ROWS_32)])
    if count == PN_XNUM:
        count = struct.unpack(order + "I", file.read(sections_at + (44 if wide else 28), 4))[0]
    if count > MOST_SEGMENTS:
        raise DumpError(f"{file.name}: says that it has {count} segments: damaged; dump again")
    if count and row_size != rows.itemsize:
        raise DumpError(f"{file.name}: program headers of {row_size} bytes: damaged; dump again")
    return table(file, at, count, rows, "program headers")


def head_kind(name: str, head: bytes) -> tuple[bool, str]:
    """Whether 64 bit, and the byte order as struct has it."""
    if len(head) < 16 or head[4] not in (1, 2) or head[5] not in (1, 2):
        raise DumpError(f"{name}: its ELF header is damaged; dump again")
    return head[4] == 2, "<" if head[5] == 1 else ">"


def without_aliases(name: str, segments: Sequence[Segment]) -> list[Segment]:
    """Segments of which none overlaps another.

    Dumps with paging, and /proc/vmcore, list the same bytes of the file under one physical address more than once:
    that counts once. DumpError: two contents for one address.
    """
    kept: list[Segment] = []
    for start, offset, filed, size in segments:
        if kept and start < kept[-1][0] + kept[-1][3]:
            first, at, first_filed, first_size = kept[-1]
            if offset - start != at - first or start > first + first_filed:
                raise DumpError(f"{name}: two segments overlap at address {start:#x}: damaged; dump again")
            end = max(first + first_size, start + size)
            kept[-1] = (first, at, max(first_filed, start + filed - first), end - first)
        else:
            kept.append((start, offset, filed, size))
    return kept
