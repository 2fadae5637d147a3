"""Fingerprints of pages as a file: what a dump holds, without its contents.

A Parquet file: a row a page, with dump (its name), region (its index), page (guest page number), hash_high and
hash_low (the fingerprint), zero. Its metadata has, under "vmdedup", a JSON document: the dumps with their regions, and
the salt's id, which names the salt without giving it away.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import DumpError, UsageError
from vmdedup.outputs import Output
from vmdedup.result.tables import Table, arrays, named_table, read_marked_parquet, write_marked_parquet
from vmdedup.scan.fingerprint import PAGE_SIZE, Hasher
from vmdedup.scan.partitions import unpack
from vmdedup.scan.source import Piece, Source
from vmdedup.scan.stream import Stream

SCHEMA_VERSION = 1
KIND = "fingerprints"
PIECE_PAGES = 4096
COLUMNS = ("dump", "region", "page", "hash_high", "hash_low", "zero")
NO_EXPORT = "is a Parquet file, but no export of `vmdedup scan --hashes-only`"


def write_export(output: Output, sources: Sequence[Source], stream: Stream, hasher: Hasher) -> None:
    """Write what was read of all dumps; takes some 60 bytes of memory a page. VmdedupError: it cannot be written."""
    tables = [_table(source, stream, number, hasher) for number, source in enumerate(sources)]
    columns = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    about = {
        "schema_version": SCHEMA_VERSION,
        "kind": KIND,
        "salt_id": hasher.salt_id,
        "page_size": PAGE_SIZE,
        "dumps": [
            {"name": source.name, "format": source.format, "regions": source.regions, "read": len(table["page"])}
            for source, table in zip(sources, tables, strict=True)
        ],
    }
    frame = named_table(columns, "dump", [source.name for source in sources])
    marks = {"vmdedup": json.dumps(about, sort_keys=True)}
    output.write(lambda file: write_marked_parquet(frame, file, marks))


def _table(source: Source, stream: Stream, number: int, hasher: Hasher) -> dict[str, NDArray[Any]]:
    """The columns of one dump."""
    packed = b"".join(chunk for _, chunk in stream.chunks(number))
    halves = np.frombuffer(packed, ">u8").reshape(-1, 2).astype(np.uint64)
    zero = np.frombuffer(hasher.zero, ">u8").astype(np.uint64)
    read = len(halves)
    page, region, at = np.zeros(read, np.int64), np.zeros(read, np.int32), 0
    for piece in source.pieces():
        end = min(at + len(piece.numbers), read)
        page[at:end], region[at:end] = np.asarray(piece.numbers)[: end - at], piece.region
        if (at := end) == read:
            break
    dump = np.full(read, number, np.uint32)
    columns = (dump, region, page, halves[:, 0], halves[:, 1], (halves == zero).all(axis=1))
    return dict(zip(COLUMNS, columns, strict=True))


def open_export(name: str) -> list[Source]:
    """The dumps in an export. DumpError: it is none, or damaged."""
    try:
        frame, marks = read_marked_parquet(Path(name), COLUMNS)
        about = json.loads(marks.get("vmdedup", "{}"))
    except UsageError as error:
        raise DumpError(f"{name}: {NO_EXPORT} ({error})") from None
    except ValueError:
        about = {}
    if not isinstance(about, dict) or about.get("kind") != KIND:
        raise DumpError(f"{name}: {NO_EXPORT}")
    if about.get("schema_version") != SCHEMA_VERSION or about.get("page_size") != PAGE_SIZE:
        raise DumpError(f"{name}: was written by another version of vmdedup; export it again")
    try:
        return list(_sources(name, frame, about))
    except (KeyError, TypeError, ValueError) as error:
        raise DumpError(f"{name}: is damaged ({error}); export it again") from None


def _sources(name: str, frame: Table, about: dict[str, Any]) -> Iterator[Source]:
    columns = arrays(frame, COLUMNS[1:])
    at = 0
    for dump in about["dumps"]:
        end = at + int(dump["read"])
        yield ExportedDump(name, dump, str(about["salt_id"]), {key: column[at:end] for key, column in columns.items()})
        at = end
    if at != len(frame):
        raise ValueError(f"{len(frame)} pages where {at} are said to be")


class ExportedDump(Source):
    """One dump of an export: fingerprints, no contents."""

    has_contents = False

    def __init__(self, path: str, about: dict[str, Any], salt_id: str, columns: dict[str, NDArray[Any]]) -> None:
        self.name, self.format, self.salt_id = str(about["name"]), f"hashes of {about['format']}", salt_id
        self.regions = [(str(region), int(first), int(pages)) for region, first, pages in about["regions"]]
        self._origin, self._columns = f"{path}:{self.name}", columns
        self.present = len(columns["page"])
        if self.present != int(about["read"]) or self.present > self.pages:
            raise ValueError(f"{self.present} pages of {self.name}, which has {self.pages}")
        if self.present and not 0 <= columns["region"].min() <= columns["region"].max() < len(self.regions):
            raise ValueError("a page of an unknown region")
        zeros = np.flatnonzero(columns["zero"])
        self.zero = self._packed(int(zeros[0]), int(zeros[0]) + 1) if len(zeros) else None

    @property
    def full_name(self) -> str:
        """With the export's name before it."""
        return self._origin

    def pieces(self) -> Iterator[Piece]:
        """Runs of pages of one region."""
        regions = self._columns["region"]
        ends = [*np.flatnonzero(np.diff(regions)) + 1, self.present]
        at = 0
        for end in ends:
            for first in range(at, int(end), PIECE_PAGES):
                after = min(first + PIECE_PAGES, int(end))
                numbers = self._columns["page"][first:after]
                yield HashedPiece(int(regions[first]), numbers, self._packed(first, after))
            at = int(end)

    def _packed(self, first: int, after: int) -> bytes:
        """The fingerprints of these rows, one behind the other."""
        halves = np.stack([self._columns["hash_high"][first:after], self._columns["hash_low"][first:after]], axis=1)
        return halves.astype(">u8").tobytes()

    def close(self) -> None:
        """Let go of the columns."""
        self._columns = {}


class HashedPiece(Piece):
    """Pages of which only the fingerprints are known."""

    def __init__(self, region: int, numbers: Any, packed: bytes) -> None:
        super().__init__(region, numbers, _no_contents)
        self._packed = packed

    def fingerprints(self, hasher: Hasher) -> list[bytes]:
        """As the export has them."""
        return list(chain.from_iterable(unpack(self._packed)))


def _no_contents() -> tuple[bytes, int]:
    raise UsageError("exported hashes have no contents")
