"""Fingerprints of pages as a file: what a dump holds, without its contents.

A Parquet file: a row a page, with dump (its name), region (its index), page (guest page number), hash_high and
hash_low (the fingerprint), zero. Its metadata has, under "vmdedup", a JSON document: the dumps with their regions, and
the salt's id, which names the salt without giving it away. exported.py reads it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmdedup.outputs import Output
from vmdedup.result.tables import named_table, write_marked_parquet
from vmdedup.scan.fingerprint import Hasher
from vmdedup.scan.source import Source
from vmdedup.scan.stream import Stream
from vmdedup.units import PAGE_SIZE

SCHEMA_VERSION = 1
KIND = "fingerprints"
COLUMNS = {  # and their types
    "dump": "String",
    "region": "Int32",
    "page": "Int64",
    "hash_high": "UInt64",
    "hash_low": "UInt64",
    "zero": "Boolean",
}


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
