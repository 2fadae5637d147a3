"""Headers of ELF core files: 32 or 64 bit, either byte order. Source: System V ABI, chapters 4 and 5; elf(5) for more
segments or sections than 16 bits can count; makedumpfile's IMPLEMENTATION for the flag of a file cut short."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmdedup.dump.file import Source, table
from vmdedup.errors import DumpError

ET_CORE, PN_XNUM = 4, 0xFFFF
INCOMPLETE = 1  # a bit of e_flags, set by makedumpfile
MOST_ROWS = 1 << 20
U2, U4, U8 = "u2", "u4", "u8"
SEGMENT_32 = [(name, U4) for name in ("type", "offset", "vaddr", "paddr", "filesz", "memsz", "flags", "align")]
SEGMENT_64 = [("type", U4), ("flags", U4)]
SEGMENT_64 += [(name, U8) for name in ("offset", "vaddr", "paddr", "filesz", "memsz", "align")]
SECTION_32 = [(name, U4) for name in ("name", "type", "flags", "addr", "offset", "size", "link", "info")]
SECTION_32 += [("align", U4), ("entsize", U4)]
SECTION_64 = [("name", U4), ("type", U4), ("flags", U8), ("addr", U8), ("offset", U8), ("size", U8), ("link", U4)]
SECTION_64 += [("info", U4), ("align", U8), ("entsize", U8)]


@dataclass(frozen=True)
class ElfHeader:
    """A core's header. order: of bytes, as struct has it. *_at, *_size, *s: where a table is, bytes a row, rows."""

    wide: bool
    order: str
    segments_at: int
    segment_size: int
    segments: int
    sections_at: int
    section_size: int
    sections: int
    names: int  # the number of the section of sections' names
    is_incomplete: bool


def elf_header(file: Source) -> ElfHeader:
    """The header of a core. DumpError: it is none, or is damaged."""
    head = file.read(0, min(64, file.size))
    if len(head) < 16 or head[4] not in (1, 2) or head[5] not in (1, 2):
        raise DumpError(f"{file.name}: its ELF header is damaged; dump again")
    wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
    layout = order + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH")
    if len(head) < 16 + struct.calcsize(layout):
        raise DumpError(f"{file.name}: ends within its ELF header: truncated; dump again")
    kind, _, _, _, *tables, flags, _, row, rows, section_row, sections, names = struct.unpack_from(layout, head, 16)
    if kind != ET_CORE:
        raise DumpError(f"{file.name}: is an ELF file, but no core (type {kind}); name a memory dump")
    if tables[1] and (rows == PN_XNUM or not (rows or sections)):
        first = file.read(tables[1], 48 if wide else 32)
        sections = sections or struct.unpack_from(order + ("Q" if wide else "I"), first, 32 if wide else 20)[0]
        rows = struct.unpack_from(order + "I", first, 44 if wide else 28)[0] if rows == PN_XNUM else rows
    incomplete = bool(flags & INCOMPLETE)
    return ElfHeader(wide, order, tables[0], row, rows, tables[1], section_row, sections, names, incomplete)


def segment_rows(file: Source, head: ElfHeader) -> NDArray[np.void]:
    """The table of segments. DumpError: it does not fit into the file."""
    kind = SEGMENT_64 if head.wide else SEGMENT_32
    return rows_of(file, head, kind, head.segments_at, head.segments, head.segment_size, "segments")


def section_rows(file: Source, head: ElfHeader) -> NDArray[np.void]:
    """The table of sections. DumpError: it does not fit into the file."""
    kind = SECTION_64 if head.wide else SECTION_32
    return rows_of(file, head, kind, head.sections_at, head.sections, head.section_size, "sections")


def rows_of(
    file: Source, head: ElfHeader, columns: list[tuple[str, str]], at: int, count: int, size: int, what: str
) -> NDArray[np.void]:
    """A table of a core."""
    row = np.dtype([(name, head.order + code) for name, code in columns])
    if count > MOST_ROWS:
        raise DumpError(f"{file.name}: says that it has {count} {what}: damaged; dump again")
    if count and size != row.itemsize:
        raise DumpError(f"{file.name}: headers of {what} of {size} bytes: damaged; dump again")
    return table(file, at, count, row, f"headers of {what}")
