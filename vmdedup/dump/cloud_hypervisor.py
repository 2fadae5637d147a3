"""Cloud Hypervisor's snapshots: a directory with config.json, state.json and memory-ranges, which is raw memory.

memory-ranges has one range of guest-physical memory after another; state.json says which. Memory that a file backs and
others may share is in that file, and not in the snapshot. Source: Cloud Hypervisor's docs/snapshot_restore.md and
docs/memory.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from vmdedup.dump.extents import Extent, ExtentDump, regions_of, split_holes
from vmdedup.dump.file import DumpFile
from vmdedup.dump.raw import open_raw
from vmdedup.errors import DumpError
from vmdedup.units import PAGE_SIZE

MEMORY, STATE, CONFIG = "memory-ranges", "state.json", "config.json"
MOST_STATE, MOST_FILES = 1 << 26, 8
ELSEWHERE = 1 << 40  # number of the first page of memory without an address


def is_directory(path: Path) -> bool:
    """Whether a directory holds such a snapshot."""
    return (path / MEMORY).is_file() or ((path / STATE).is_file() and (path / CONFIG).is_file())


def open_directory(path: Path, name: str) -> ExtentDump:
    """A snapshot. Without state.json, or if that names no ranges, page numbers are places in the memory file.

    DumpError: it is damaged, or its memory is elsewhere.
    """
    memory = path / MEMORY
    if not memory.is_file() or not memory.stat().st_size:
        raise DumpError(f"{name}: {elsewhere(path)}")
    file = DumpFile(memory, name)
    try:
        ranges = memory_ranges(path / STATE)
        if not ranges:
            return open_raw(file)
        if sum(length for _, length in ranges) != file.size:
            raise DumpError(f"{name}: {MEMORY} has another size than {STATE} says: truncated; take the snapshot again")
        return of_ranges(file, ranges, left_out(path, file.size))
    except BaseException:
        file.close()
        raise


def of_ranges(file: DumpFile, ranges: list[tuple[int, int]], others: list[tuple[str, int]]) -> ExtentDump:
    """The memory of these ranges (first address, bytes), which stand in the file in this order.

    others: zones (file, pages) that are not in it: absent, and as nothing says where they are, from page 2^40 on.
    """
    if any(start % PAGE_SIZE or length % PAGE_SIZE or length <= 0 or start < 0 for start, length in ranges):
        raise DumpError(
            f"{file.name}: its {STATE} has ranges that are no whole pages: damaged; take the snapshot again"
        )
    wholes: list[Extent] = []
    at = 0
    for start, length in ranges:
        wholes.append(Extent(0, start // PAGE_SIZE, length // PAGE_SIZE, at))
        at += length
    wholes = [
        Extent(index, whole.first, whole.pages, whole.offset)
        for index, whole in enumerate(sorted(wholes, key=lambda whole: whole.first))
    ]
    spans = [(w.first, w.pages, f"{w.first * PAGE_SIZE:#x}") for w in wholes]
    for zone, pages in others:
        spans.append((max(ELSEWHERE, spans[-1][0] + spans[-1][1]), pages, zone))
    regions = regions_of(file.name, spans)

    def runs() -> Iterator[Extent]:
        for whole in wholes:
            yield from split_holes(whole, file.data())

    return ExtentDump(file.name, "cloud-hypervisor", regions, [file], runs)


def elsewhere(path: Path) -> str:
    """Where the memory of a snapshot is that does not have it."""
    files = sorted(set(backing_files(document(path / CONFIG))))
    if not files:
        return f"is a Cloud Hypervisor snapshot without {MEMORY}: incomplete; take the snapshot again"
    named = ", ".join(map(repr, files[:MOST_FILES])) + (" and others" if len(files) > MOST_FILES else "")
    return f"is a Cloud Hypervisor snapshot whose memory is in its zones' files; scan these: {named}"


def backing_files(config: object) -> list[str]:
    """The files that config.json names for memory and its zones."""
    return [file for row in memory_rows(config) if isinstance(file := row.get("file"), str)]


def memory_rows(config: object) -> list[dict[str, object]]:
    """What config.json says of memory, and of its zones."""
    memory = config.get("memory") if isinstance(config, dict) else None
    zones = memory.get("zones") if isinstance(memory, dict) else None
    return [row for row in [memory, *(zones if isinstance(zones, list) else [])] if isinstance(row, dict)]


def left_out(path: Path, size: int) -> list[tuple[str, int]]:
    """Shared zones, as (file, pages), that are not among the bytes of memory-ranges: with them all memory is there."""
    rows = [row for row in memory_rows(document(path / CONFIG)) if isinstance(row.get("size"), int)]
    sizes = [(row, cast(int, row["size"])) for row in rows]
    shared = [(str(row["file"]), bytes_) for row, bytes_ in sizes if row.get("file") and row.get("shared") is True]
    if not shared or size + sum(bytes_ for _, bytes_ in shared) != sum(bytes_ for _, bytes_ in sizes):
        return []
    return [(ascii(name), bytes_ // PAGE_SIZE) for name, bytes_ in shared if bytes_ >= PAGE_SIZE]


def memory_ranges(path: Path) -> list[tuple[int, int]]:
    """The ranges that state.json gives, none if it gives none. DumpError: it is no JSON."""
    try:
        return found_ranges(document(path), 0)
    except (ValueError, RecursionError) as error:
        raise DumpError(f"{path}: cannot be read as JSON: {error}; take the snapshot again") from error


def document(path: Path) -> object:
    """What a file of JSON says; nothing if it is not there, or huge. DumpError: it is no JSON."""
    try:
        if not path.is_file() or path.stat().st_size > MOST_STATE:
            return None
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DumpError(f"{path}: cannot be read as JSON: {error}; take the snapshot again") from error


def found_ranges(value: object, depth: int) -> list[tuple[int, int]]:
    """The first memory_ranges anywhere in a document; parts of it are documents written as text."""
    if depth > 16:
        return []
    if isinstance(value, str) and "memory_ranges" in value:
        return found_ranges(json.loads(value), depth + 1)
    if isinstance(value, dict):
        table = value.get("memory_ranges")
        rows = table.get("data") if isinstance(table, dict) else table
        if isinstance(rows, list):
            return [range_row(row) for row in rows]
        value = list(value.values())
    if isinstance(value, list):
        return next((found for item in value if (found := found_ranges(item, depth + 1))), [])
    return []


def range_row(row: object) -> tuple[int, int]:
    """First address and bytes of a row of the table. ValueError: it has others."""
    if isinstance(row, dict) and isinstance(row.get("gpa"), int) and isinstance(row.get("length"), int):
        return row["gpa"], row["length"]
    raise ValueError("a memory range without gpa and length")
