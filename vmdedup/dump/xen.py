"""Xen's core files, of `xl dump-core`: ELF without segments; the pages stand in a section, their numbers in another.

Section .xen_pages has the pages, .xen_pfn (or .xen_p2m, with the machine's page number beside each) the guest's page
numbers, in any order. Entries without a number are padding, which a guest leaves that shrank during the dump. Source:
Xen's docs/misc/dump-core-format.txt; the padding: tools/libs/guest's xg_core.c.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmdedup.dump.base import Region
from vmdedup.dump.elf_header import ElfHeader, section_rows
from vmdedup.dump.extents import Extent, ExtentDump
from vmdedup.dump.file import Source, check_pages, check_range, table
from vmdedup.errors import DumpError
from vmdedup.units import PAGE_SIZE

PAGES, PFN, P2M, NOTE = ".xen_pages", ".xen_pfn", ".xen_p2m", ".note.Xen"
HEADER_NOTE, VERSION_NOTE = 0x2000001, 0x2000003
NO_NUMBER = (1 << 64) - 1
MOST_NUMBER = 1 << 52
MOST_NAMES, MOST_NOTES, MOST_REGIONS = 1 << 20, 1 << 20, 1 << 16

Place = tuple[int, int]  # offset, bytes
Sections = dict[str, Place]


def sections_of(file: Source, head: ElfHeader) -> Sections:
    """The sections by name, if they are a Xen core's; else none."""
    rows = section_rows(file, head)
    if head.names >= len(rows) or int(rows[head.names]["size"]) > MOST_NAMES:
        return {}
    names = file.read(int(rows[head.names]["offset"]), int(rows[head.names]["size"]))
    found: Sections = {}
    for row in rows:
        name = names[int(row["name"]) :].split(b"\0", 1)[0].decode("ascii", "replace")
        found[name] = int(row["offset"]), int(row["size"])
    return found if PAGES in found else {}


def open_xen(file: Source, head: ElfHeader, sections: Sections) -> ExtentDump:
    """A Xen core. DumpError: it is damaged, or of a format or page size that is not known."""
    check_notes(file, head, sections)
    at, size = sections[PAGES]
    check_range(file, at, size)
    numbers = page_numbers(file, head, sections)
    if len(numbers) * PAGE_SIZE != size:
        what = f"{len(numbers)} page numbers for {size} bytes of pages"
        raise DumpError(f"{file.name}: {what}: truncated or damaged; dump again")
    order = np.argsort(numbers, kind="stable")
    order = order[: np.count_nonzero(numbers != NO_NUMBER)]
    numbers = numbers[order]
    if not len(numbers):
        raise DumpError(f"{file.name}: is a Xen core with no memory in it; dump again")
    if int(numbers[-1]) >= MOST_NUMBER or (numbers[1:] == numbers[:-1]).any():
        raise DumpError(f"{file.name}: a page number stands twice, or cannot be: damaged; dump again")
    numbers = numbers.astype(np.int64)
    regions = regions_of(numbers)
    firsts = np.array([region.first for region in regions], np.int64)

    def runs() -> Iterator[Extent]:
        cuts = np.flatnonzero((np.diff(numbers) != 1) | (np.diff(order) != 1)) + 1
        homes = np.searchsorted(firsts, numbers, "right") - 1
        for low, high in zip([0, *cuts.tolist()], [*cuts.tolist(), len(numbers)], strict=True):
            place = at + int(order[low]) * PAGE_SIZE
            yield Extent(int(homes[low]), int(numbers[low]), high - low, place)

    return ExtentDump(file.name, "xen", regions, [file], runs)


def regions_of(numbers: NDArray[np.int64]) -> list[Region]:
    """Regions of these page numbers, rising; of very many one is made, with absent pages in it."""
    cuts = np.flatnonzero(np.diff(numbers) != 1) + 1
    if len(cuts) >= MOST_REGIONS:
        cuts = cuts[:0]
    lows, highs = numbers[np.append(0, cuts)].tolist(), numbers[np.append(cuts - 1, -1)].tolist()
    return [Region(f"{low * PAGE_SIZE:#x}", low, high - low + 1) for low, high in zip(lows, highs, strict=True)]


def page_numbers(file: Source, head: ElfHeader, sections: Sections) -> NDArray[Any]:
    """The guest's page numbers, in the order of the pages."""
    name = PFN if PFN in sections else P2M
    if name not in sections:
        raise DumpError(f"{file.name}: has neither section {PFN} nor {P2M}: truncated or damaged; dump again")
    columns = [("pfn", head.order + "u8"), *([("gmfn", head.order + "u8")] if name == P2M else [])]
    row = np.dtype(columns)
    at, size = sections[name]
    check_pages(file.name, size // row.itemsize)
    if size % row.itemsize:
        raise DumpError(f"{file.name}: section {name} of {size} bytes: damaged; dump again")
    return table(file, at, size // row.itemsize, row, "page numbers")["pfn"].astype(np.uint64)


def check_notes(file: Source, head: ElfHeader, sections: Sections) -> None:
    """DumpError unless the notes name a format and a page size that are known."""
    at, size = sections.get(NOTE, (0, 0))
    notes = file.read(at, size) if size <= MOST_NOTES else b""
    here = 0
    while here + 12 <= len(notes):
        name, length, kind = struct.unpack_from(head.order + "III", notes, here)
        here += 12 + -(-name // 4) * 4
        body = notes[here : here + min(length, 32)]
        words = struct.unpack_from(f"{head.order}{len(body) // 8}Q", body)
        here += -(-length // 4) * 4
        if kind == HEADER_NOTE and len(words) == 4 and words[3] != PAGE_SIZE:
            raise DumpError(f"{file.name}: pages of {words[3]} bytes; only {PAGE_SIZE} can be read")
        if kind == VERSION_NOTE and len(words) and words[0] >> 32:
            raise DumpError(f"{file.name}: is a Xen core of format {words[0] >> 32}; only 0 is known")
