"""ELF core files: `virsh dump --memory-only`, QEMU's dump-guest-memory, /proc/vmcore, makedumpfile -E, gcore, Xen's.

Pages are numbered by physical address; in cores of processes, which have none, by virtual address. Segments without a
physical address beside others that have one (/proc/kcore's, and what is copied from it) are second views of memory, and
left out. A physical page that stands in several segments counts once: /proc/vmcore has the kernel's text twice, dumps
with paging have a segment a mapping; the first in the table holds, as for crash.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmdedup.dump import xen
from vmdedup.dump.elf_header import ElfHeader, elf_header, segment_rows
from vmdedup.dump.extents import ExtentDump
from vmdedup.dump.file import Source
from vmdedup.dump.flattened import FlattenedFile
from vmdedup.dump.segments import Segment, open_segments
from vmdedup.errors import DumpError

PT_LOAD = 1


def open_elf(file: Source) -> ExtentDump:
    """An ELF core file, 32 or 64 bit, either byte order. DumpError: it is no core, or is damaged."""
    if isinstance(file, FlattenedFile) and file.is_cut:
        raise DumpError(f"{file.name}: has no end: truncated; dump again")
    head = elf_header(file)
    if not head.segments and (pages := xen.sections_of(file, head)):
        return xen.open_xen(file, head, pages)
    segments, physical = load_segments(file, head)
    if not any(filed for _, _, filed, _ in segments):
        raise DumpError(f"{file.name}: is an ELF core file with no memory in it; dump again")
    return open_segments(file, "elf", segments, overlap=physical)


def load_segments(file: Source, head: ElfHeader) -> tuple[list[Segment], bool]:
    """The memory segments that are not empty, in order of the table; whether their addresses are physical."""
    loads = segment_rows(file, head)
    loads = loads[loads["type"] == PT_LOAD]
    nowhere = loads["paddr"] == (0xFFFF_FFFF_FFFF_FFFF if head.wide else 0xFFFF_FFFF)
    physical = is_physical(loads, nowhere)
    segments = []
    for row in loads[~nowhere] if physical else loads:
        start, offset = int(row["paddr" if physical else "vaddr"]), int(row["offset"])
        filed = int(row["filesz"])
        size = max(int(row["memsz"]), filed)
        if head.is_incomplete:
            filed = max(min(filed, file.size - offset), 0)
        if filed and offset + filed > file.size:
            raise DumpError(f"{file.name}: the segment at {start:#x} goes past the file's end: truncated; dump again")
        if start + size > 1 << 64:
            raise DumpError(f"{file.name}: the segment at {start:#x} goes past every address: damaged; dump again")
        if size:
            segments.append((start, offset, filed, size))
    return segments, physical


def is_physical(loads: NDArray[np.void], nowhere: NDArray[np.bool_]) -> bool:
    """Whether addresses are physical. nowhere: rows that say that they have none; writers who know none write zeros."""
    known = loads[~nowhere]
    return len(known) > 0 and bool(known["paddr"].any() or nowhere.any() or not known["vaddr"].any())
