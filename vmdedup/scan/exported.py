"""Exports read back. Nothing in them is taken on trust: all of it is looked at once, in parts, before it is counted."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmdedup.dump.file import MOST_PAGES
from vmdedup.errors import DumpError, UsageError
from vmdedup.result.foreign import ForeignTable
from vmdedup.result.tables import columns_of
from vmdedup.scan.export import COLUMNS, KIND, SCHEMA_VERSION
from vmdedup.scan.fingerprint import SIZE, Hasher
from vmdedup.scan.partitions import unpack
from vmdedup.scan.source import Piece, Source
from vmdedup.units import PAGE_SIZE

PART = 1 << 18  # rows looked at together: about 10 MiB
MOST_ROWS_A_BYTE = 2  # of a file: an export of nothing but zeros, which packs best, has one
PIECE_PAGES = 4096
MOST_NAME = 4096
NO_EXPORT = "is a Parquet file, but no export of `vmdedup scan --hashes-only`"
ROWS = tuple(name for name in COLUMNS if name != "dump")

Columns = dict[str, NDArray[Any]]


def open_export(name: str, descriptor: int) -> list[Source]:
    """The dumps in an export. descriptor: of the file, which is closed with the last of them, or if there is none.

    DumpError: it is no export, or damaged.
    """
    with ExitStack() as opened:
        opened.callback(os.close, descriptor)
        try:
            table = opened.enter_context(ForeignTable(descriptor))
            _check_table(table, os.fstat(descriptor).st_size)
        except UsageError as error:
            raise DumpError(f"{name}: {NO_EXPORT} ({error})") from None
        about = _about(name, table.mark)
        shared = _Shared(name, table)
        try:
            made = _dumps(shared, about)
        except (KeyError, TypeError, ValueError) as error:
            raise DumpError(f"{name}: is damaged ({error}); export it again") from None
        shared.opened = opened.pop_all()
        return made


def _about(name: str, text: str) -> dict[str, Any]:
    """The document in the metadata, if there is any. DumpError: it is none of an export."""
    try:
        about = json.loads(text)
    except (ValueError, RecursionError):
        about = None
    if not isinstance(about, dict) or about.get("kind") != KIND:
        raise DumpError(f"{name}: {NO_EXPORT}")
    if about.get("schema_version") != SCHEMA_VERSION or about.get("page_size") != PAGE_SIZE:
        raise DumpError(f"{name}: was written by another version of vmdedup; export it again")
    return about


class _Shared:
    """The file of an export, which its dumps share."""

    opened: ExitStack  # what is let go of with the last of them

    def __init__(self, name: str, table: ForeignTable) -> None:
        self.name, self.table = name, table
        self.users = 0

    def parts(self, first: int, after: int) -> Iterator[tuple[int, Columns]]:
        """Rows first to after - 1 in parts, each with the number of rows before it. DumpError: they are damaged."""
        for at in range(first, after, PART):
            try:
                yield at - first, columns_of(self.table.part(ROWS, at, min(at + PART, after)))
            except UsageError as error:
                raise DumpError(f"{self.name}: is damaged ({error}); export it again") from None

    def leave(self) -> None:
        """One dump less uses it."""
        self.users -= 1
        if not self.users:
            self.opened.close()


def _check_table(table: ForeignTable, size: int) -> None:
    """UsageError: a column is missing, of another type, or foreign; or so many rows cannot be in so many bytes."""
    for name, kind in COLUMNS.items():
        found = table.columns.get(name, "")
        if found != kind:
            raise UsageError(f"its column {name} is {found}, not {kind}" if found else f"it has no {name}")
    foreign = next((name for name in table.columns if name not in COLUMNS), None)
    if foreign is not None:
        raise UsageError(f"it has a column {foreign[:40]!a}")
    if table.rows > MOST_ROWS_A_BYTE * size:
        raise UsageError(f"{table.rows} rows are said to be in {size} bytes")


@dataclass(frozen=True)
class _Said:
    """What the metadata says of a dump."""

    name: str
    format: str
    regions: list[tuple[str, int, int]]
    read: int

    @classmethod
    def of(cls, said: Any) -> _Said:
        """ValueError: it is not what an export has. KeyError: it lacks something."""
        if not isinstance(said, dict) or not isinstance(said["regions"], list):
            raise ValueError("a dump is not described")
        regions = [_region(region) for region in said["regions"]]
        made = cls(_text(said["name"]), _text(said["format"]), regions, _number(said["read"]))
        ends = [(first, first + pages) for _, first, pages in regions]
        if any(before[1] > after[0] for before, after in pairwise(ends)):
            raise ValueError("regions overlap")
        pages = sum(pages for _, _, pages in regions)
        if pages > MOST_PAGES or made.read > pages:
            raise ValueError(f"{made.read} pages of a dump that has {pages}")
        return made


def _region(region: Any) -> tuple[str, int, int]:
    if not isinstance(region, list) or len(region) != 3:
        raise ValueError("a region is not described")
    return _text(region[0]), _number(region[1]), _number(region[2])


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 52:
        raise ValueError("what should be a number of pages is none")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MOST_NAME:
        raise ValueError("what should be a name is none")
    return value


def _dumps(shared: _Shared, about: dict[str, Any]) -> list[Source]:
    """The dumps, looked through. ValueError, KeyError, TypeError: they are not what an export has."""
    salt_id, listed = _text(about["salt_id"]), about["dumps"]
    if not isinstance(listed, list) or not listed:
        raise ValueError("it has no dumps")
    said = [_Said.of(each) for each in listed]
    rows = sum(each.read for each in said)
    if rows != shared.table.rows:
        raise ValueError(f"{shared.table.rows} pages where {rows} are said to be")
    made: list[Source] = []
    at = 0
    for each in said:
        made.append(ExportedDump(shared, each, salt_id, at))
        at += each.read
    zeros = {source.zero for source in made} - {None}
    if len(zeros) > 1:
        raise ValueError("zeros have several fingerprints")
    shared.users = len(made)
    return made


class ExportedDump(Source):
    """One dump of an export: fingerprints, no contents. They are read from the file as they are asked for."""

    has_contents = False

    def __init__(self, shared: _Shared, said: _Said, salt_id: str, first: int) -> None:
        self.name, self.format, self.salt_id = said.name, f"hashes of {said.format}", salt_id
        self.regions, self.present = said.regions, said.read
        self._shared, self._origin, self._first = shared, f"{shared.name}:{said.name}", first
        self.zero = self._look_through()

    @property
    def full_name(self) -> str:
        """With the export's name before it."""
        return self._origin

    def pieces(self) -> Iterator[Piece]:
        """Runs of pages of one region."""
        for _, columns in self._parts():
            regions = columns["region"]
            at = 0
            for end in [*np.flatnonzero(np.diff(regions)) + 1, len(regions)]:
                for first in range(at, int(end), PIECE_PAGES):
                    after = min(first + PIECE_PAGES, int(end))
                    yield HashedPiece(int(regions[first]), columns["page"][first:after], _packed(columns, first, after))
                at = int(end)

    def _parts(self) -> Iterator[tuple[int, Columns]]:
        return self._shared.parts(self._first, self._first + self.present)

    def _look_through(self) -> bytes | None:
        """The fingerprint of zeros, if there are any. ValueError: pages are not where the dump has any, or twice."""
        starts = np.array([first for _, first, _ in self.regions], np.int64)
        ends = starts + np.array([pages for _, _, pages in self.regions], np.int64)
        zero: bytes | None = None
        last, ascending = -1, True
        for _, columns in self._parts():
            region, page = columns["region"], columns["page"]
            if not 0 <= int(region.min()) <= int(region.max()) < len(self.regions):
                raise ValueError("a page of an unknown region")
            if (page < starts[region]).any() or (page >= ends[region]).any():
                raise ValueError("a page outside its region")
            ascending = ascending and last < page[0] and bool((np.diff(page) > 0).all())
            last = int(page[-1])
            zero = _zero(columns, zero)
        if not ascending:
            pages = np.concatenate([columns["page"] for _, columns in self._parts()])
            if len(np.unique(pages)) != len(pages):
                raise ValueError("a page stands there twice")
        return zero

    def close(self) -> None:
        """Let go of the file."""
        self._shared.leave()


def _zero(columns: Columns, before: bytes | None) -> bytes | None:
    """The fingerprint of zeros. before: as rows before have it. ValueError: it is another one in some row."""
    zeros = np.flatnonzero(columns["zero"])
    if not len(zeros):
        return before
    high, low = columns["hash_high"], columns["hash_low"]
    first = int(zeros[0])
    same = (high == high[first]) & (low == low[first])
    zero = _packed(columns, first, first + 1)
    if (same != columns["zero"]).any() or before not in (None, zero):
        raise ValueError("zeros have several fingerprints")
    return zero


def _packed(columns: Columns, first: int, after: int) -> bytes:
    """The fingerprints of these rows, one behind the other."""
    halves = np.stack([columns["hash_high"][first:after], columns["hash_low"][first:after]], axis=1)
    return halves.astype(">u8").tobytes()


class HashedPiece(Piece):
    """Pages of which only the fingerprints are known."""

    def __init__(self, region: int, numbers: Any, packed: bytes) -> None:
        super().__init__(region, numbers, _no_contents)
        assert len(packed) == SIZE * len(numbers)
        self._packed = packed

    def fingerprints(self, hasher: Hasher) -> list[bytes]:
        """As the export has them."""
        return list(chain.from_iterable(unpack(self._packed)))


def _no_contents() -> tuple[bytes, int]:
    raise UsageError("exported hashes have no contents")
