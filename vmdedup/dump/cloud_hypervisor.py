"""Cloud Hypervisor's snapshots: a directory with config.json, state.json and memory-ranges, which is raw memory.

memory-ranges has one range of guest-physical memory after another; state.json says which. Source: Cloud Hypervisor's
docs/snapshot_restore.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from vmdedup.dump.base import PAGE_SIZE
from vmdedup.dump.extents import Extent, ExtentDump, regions_of, split_holes
from vmdedup.dump.file import DumpFile
from vmdedup.dump.raw import open_raw
from vmdedup.errors import DumpError

MEMORY, STATE = "memory-ranges", "state.json"
MOST_STATE = 1 << 26


def is_directory(path: Path) -> bool:
    """Whether a directory holds such a snapshot."""
    return (path / MEMORY).is_file()


def open_snapshot(path: Path, name: str) -> ExtentDump:
    """A snapshot. Without state.json, or if that names no ranges, page numbers are places in the memory file."""
    file = DumpFile(path / MEMORY, name)
    try:
        ranges = memory_ranges(path / STATE)
        if not ranges:
            return open_raw(file)
        if sum(length for _, length in ranges) != file.size:
            raise DumpError(f"{name}: {MEMORY} has another size than {STATE} says: truncated; take the snapshot again")
        return of_ranges(file, ranges)
    except BaseException:
        file.close()
        raise


def of_ranges(file: DumpFile, ranges: list[tuple[int, int]]) -> ExtentDump:
    """The memory of these ranges (first address, bytes), which stand in the file in this order."""
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
    regions = regions_of(file.name, [(w.first, w.pages, f"{w.first * PAGE_SIZE:#x}") for w in wholes])

    def runs() -> Iterator[Extent]:
        for whole in wholes:
            yield from split_holes(whole, file.data())

    return ExtentDump(file.name, "cloud-hypervisor", regions, [file], runs)


def memory_ranges(path: Path) -> list[tuple[int, int]]:
    """The ranges that state.json gives, none if it gives none. DumpError: it is no JSON."""
    try:
        if not path.is_file() or path.stat().st_size > MOST_STATE:
            return []
        return found_ranges(json.loads(path.read_bytes()), 0)
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
