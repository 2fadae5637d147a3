"""Images that `criu dump` makes of processes: pagemap-N.img says which pages there are, pages-M.img has their bytes.

Pages have virtual page numbers; of several processes in one directory the n-th (from 0, by file name) has n * 2^45
added. Pages that are in the parent image are taken from there, if the directory has its link `parent`; lazy pages that
were left behind are absent. Packed images are refused: an entry says so with fields, or pages-M.img has another name.
Source: CRIU's images/pagemap.proto; https://criu.org/Images and https://criu.org/Memory_images.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from pathlib import Path

from vmdedup.dump.extents import Extent, ExtentDump, regions_of
from vmdedup.dump.file import DumpFile
from vmdedup.dump.protobuf import fields
from vmdedup.errors import DumpError
from vmdedup.units import PAGE_SIZE

COMMON_MAGIC, PAGEMAP_MAGIC = 0x54564319, 0x56084025
IN_PARENT, LAZY, PRESENT = 1, 2, 4
HEAD_FIELDS, ENTRY_FIELDS = {1}, {1, 2, 3, 4, 5}
UNPACK = "images with packed pages are not read: dump without --compress, or unpack them first: crit decompress"
APART = 1 << 45
MOST_ENTRIES, MOST_PARENTS = 1 << 21, 64
HEADS = tuple(struct.pack("<I", magic) for magic in (COMMON_MAGIC, PAGEMAP_MAGIC))

Run = tuple[int, int, int, int]  # first page, pages, offset, number of the file; offset -1: absent


def is_directory(path: Path) -> bool:
    """Whether a directory holds CRIU's images."""
    return any(path.glob("pagemap-*.img"))


def open_directory(path: Path, name: str) -> ExtentDump:
    """A directory of images, or one of its pagemap-N.img. DumpError: they are damaged, or files are missing."""
    pagemaps = sorted(path.glob("pagemap-*.img")) if path.is_dir() else [path]
    files: list[DumpFile] = []
    try:
        spans: list[tuple[int, int, str]] = []
        extents: list[Extent] = []
        for number, pagemap in enumerate(pagemaps):
            title = pagemap.name.removeprefix("pagemap-").removesuffix(".img")
            add_runs(spans, extents, load_runs(pagemap, files, ()), number * APART, title)
        regions = regions_of(name, spans)
        return ExtentDump(name, "criu", regions, files, lambda: iter(extents))
    except BaseException:
        for file in files:
            file.close()
        raise


def open_image(file: DumpFile) -> ExtentDump:
    """One image, whose pages stand in other files of its folder. DumpError: it is no page map, or is damaged."""
    file.close()
    return open_directory(Path(file.name), file.name)


def add_runs(spans: list[tuple[int, int, str]], extents: list[Extent], runs: list[Run], shift: int, title: str) -> None:
    """Regions and extents of one process. Runs that touch each other are one region."""
    for first, pages, offset, source in runs:
        first += shift
        if spans and spans[-1][0] + spans[-1][1] == first:
            spans[-1] = (spans[-1][0], spans[-1][1] + pages, spans[-1][2])
        else:
            spans.append((first, pages, f"{title}: {(first - shift) * PAGE_SIZE:#x}"))
        if offset >= 0:
            extents.append(Extent(len(spans) - 1, first, pages, offset, source))


def load_runs(pagemap: Path, files: list[DumpFile], below: tuple[str, ...]) -> list[Run]:
    """The runs of one pagemap, those in its parents resolved; ascending. files: grows by those that they stand in.

    below: the directories from which this one was reached.
    """
    here = os.path.realpath(pagemap.parent)
    if here in below or len(below) >= MOST_PARENTS:
        raise DumpError(f"{pagemap}: its parent images lead back to itself, or are too many; dump again")
    pages_id, entries = read_pagemap(pagemap)
    at, source = 0, len(files)
    files.append(pages_file(pagemap.parent, pages_id))
    parent: list[Run] | None = None
    runs: list[Run] = []
    for first, count, flags in entries:
        if flags & IN_PARENT:
            if parent is None:
                parent = parent_runs(pagemap, files, (*below, here))
            runs += between(parent, first, count)
        elif flags & PRESENT:
            if at + count * PAGE_SIZE > files[source].size:
                raise DumpError(f"{files[source].name}: ends before the pages at {first * PAGE_SIZE:#x}: truncated")
            runs.append((first, count, at, source))
            at += count * PAGE_SIZE
        else:
            runs.append((first, count, -1, 0))
    if at != files[source].size:
        more = files[source].size - at
        raise DumpError(f"{files[source].name}: has {more} bytes more than {pagemap.name} knows of; {UNPACK}")
    return sorted(runs)


def pages_file(folder: Path, number: int) -> DumpFile:
    """The file of pages of a number. DumpError: it is not there, or packed under another name, as CRaC's CRIU does."""
    path = folder / f"pages-{number}.img"
    packed = folder / f"pages-{number}.comp.img"
    if packed.exists() and not path.exists():
        raise DumpError(
            f"{folder}: its pages are packed, in {packed.name}; unpack them first: lz4 -d {packed.name} {path.name}"
        )
    return DumpFile(path)


def parent_runs(pagemap: Path, files: list[DumpFile], below: tuple[str, ...]) -> list[Run]:
    """The runs of the same process in the parent image; none if that is not there."""
    parent = pagemap.parent / "parent" / pagemap.name
    return load_runs(parent, files, below) if parent.exists() else []


def between(runs: list[Run], first: int, count: int) -> list[Run]:
    """What runs have from one page on, count pages; absent where they have nothing."""
    found: list[Run] = []
    at, end = first, first + count
    for start, pages, offset, source in runs[max(bisect_right(runs, (first, 1 << 62)) - 1, 0) :]:
        low, high = max(start, at), min(start + pages, end)
        if start >= end:
            break
        if low < high:
            if at < low:
                found.append((at, low - at, -1, 0))
            found.append((low, high - low, offset + (low - start) * PAGE_SIZE if offset >= 0 else -1, source))
            at = high
    return [*found, (at, end - at, -1, 0)] if at < end else found


def read_pagemap(path: Path) -> tuple[int, list[tuple[int, int, int]]]:
    """The number of the file of pages, and entries (first page, pages, flags) in order of their bytes there."""
    file = DumpFile(path)
    try:
        if file.size > 1 << 28:
            raise DumpError(f"{path}: is too large for a page map: damaged; dump again")
        data = file.read(0, file.size)
    finally:
        file.close()
    at = 8 if data[:4] == HEADS[0] else 4
    if data[at - 4 : at] != HEADS[1]:
        raise DumpError(f"{path}: is an image of CRIU, but no page map; name the directory or a pagemap-N.img")
    entries: list[dict[int, int]] = []
    known = HEAD_FIELDS
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "little")
        at += 4 + length
        if at > len(data) or len(entries) > MOST_ENTRIES:
            raise DumpError(
                f"{path}: an entry goes past the end, or they are too many: truncated or damaged; dump again"
            )
        try:
            entry = fields(data[at - length : at])
        except DumpError as error:
            raise DumpError(f"{path}: {error} before byte {at}: damaged; dump again") from error
        entries.append({field: value for field, value in entry.items() if value is not None and field in known})
        if len(entries[-1]) < len(entry):
            unknown = min(entry.keys() - entries[-1].keys())
            raise DumpError(f"{path}: an entry has field {unknown}, which is not known; {UNPACK}")
        known = ENTRY_FIELDS
    if not entries or 1 not in entries[0]:
        raise DumpError(f"{path}: names no file of pages: truncated or damaged; dump again")
    return entries[0][1], [pagemap_entry(path, entry) for entry in entries[1:]]


def pagemap_entry(path: Path, entry: dict[int, int]) -> tuple[int, int, int]:
    """First page, pages, flags of a pagemap_entry: 1 vaddr, 2 or 5 nr_pages, 3 in_parent, 4 flags."""
    address, count = entry.get(1, 1), entry.get(5, entry.get(2, 0))
    first = address // PAGE_SIZE
    if address % PAGE_SIZE or count <= 0 or first + count > APART:
        raise DumpError(f"{path}: an entry of {count} pages at {address:#x}: damaged; dump again")
    flags = entry.get(4, PRESENT)
    return first, count, flags | IN_PARENT if entry.get(3) else flags
