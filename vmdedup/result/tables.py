"""Tables: rows of plain values to polars frames and Parquet bytes, and back. The only importer of polars.

Parquet, because it keeps names and types and every notebook reads it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import polars as pl
from numpy.typing import NDArray

from vmdedup.errors import UsageError, VmdedupError

Row = Mapping[str, Any]  # int, float or str; None where nobody can know
Table = pl.DataFrame
MOST_ROWS_A_BYTE = 2  # of a file: an export of nothing but zeros, which packs best, has one


def table(rows: Sequence[Row], columns: Iterable[str] = ()) -> Table:
    """A frame of the rows, in the order of the first row's keys; columns names them when there are no rows.

    Columns that end in `_s` are seconds (Float64), strings are strings, everything else is Int64 unless some
    value is a float. Raises KeyError if a row lacks a column of the first.
    """
    names = list(rows[0]) if rows else list(columns)
    return pl.DataFrame({name: _column(name, [row[name] for row in rows]) for name in names})


def records(frame: Table) -> list[dict[str, Any]]:
    """The rows of a frame as plain dictionaries."""
    return frame.to_dicts()


def to_parquet(frame: Table) -> bytes:
    """The frame as the bytes of a Parquet file; the same frame gives the same bytes."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=False)
    return buffer.getvalue()


def read_parquet(path: Path) -> Table:
    """The frame in a Parquet file. Raises UsageError if there is none, or if it is broken."""
    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{path} is not a table of a run: {reason}") from None


def named_table(columns: Mapping[str, NDArray[Any]], key: str, names: Sequence[str]) -> Table:
    """A frame of whole columns; those of `key` are numbers that stand for names."""
    made = {name: pl.Series(name, column) for name, column in columns.items()}
    made[key] = pl.Series(key, names, dtype=pl.String).gather(columns[key])
    return pl.DataFrame(made)


def write_marked_parquet(frame: Table, file: IO[bytes], marks: Mapping[str, str]) -> None:
    """Write a frame, with metadata of its own, to an open file. VmdedupError: it cannot be written."""
    try:
        frame.write_parquet(file, compression="zstd", metadata=dict(marks))
    except pl.exceptions.PolarsError as error:
        raise VmdedupError(f"the fingerprints cannot be written: {str(error).splitlines()[0]}") from None


class MarkedParquet:
    """A Parquet file from elsewhere, read in parts: of what stands in it nothing is taken on trust.

    rows: how many it has. marks: its own metadata. Memory in use is that of a part.
    """

    def __init__(self, path: str, size: int, columns: Mapping[str, str]) -> None:
        """size: of the file, in bytes. columns: names and polars types. UsageError: it is broken, or has others."""
        self._path = path
        with _broken():
            found = {name: str(kind) for name, kind in pl.read_parquet_schema(path).items()}
            _same_columns(found, columns)
            self.marks = dict(pl.read_parquet_metadata(path))
            self.rows = int(pl.scan_parquet(path).select(pl.len()).collect().item())
        if self.rows > MOST_ROWS_A_BYTE * size:
            raise UsageError(f"{self.rows} rows are said to be in {size} bytes")

    def part(self, columns: Sequence[str], first: int, after: int) -> dict[str, NDArray[Any]]:
        """Rows first to after - 1. UsageError: they are broken, or there is nothing in one."""
        with _broken():
            frame = pl.scan_parquet(self._path).select(list(columns)).slice(first, after - first).collect()
            if len(frame) != after - first:
                raise UsageError("rows are missing")
            if any(frame[name].null_count() for name in columns):
                raise UsageError("rows lack values")
            return {name: frame[name].to_numpy() for name in columns}


def _same_columns(found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """UsageError: a column is missing, of another type, or foreign."""
    for name, kind in wanted.items():
        if found.get(name) != kind:
            raise UsageError(
                f"its column {name} is {found[name]}, not {kind}" if name in found else f"it has no {name}"
            )
    foreign = next((name for name in found if name not in wanted), None)
    if foreign is not None:
        raise UsageError(f"it has a column {foreign[:40]!a}")


@contextmanager
def _broken() -> Iterator[None]:
    """Whatever polars finds wrong with a file, or breaks at, as UsageError."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, OverflowError) as error:
        reason = (str(error).splitlines() or ["damaged"])[0]
        raise UsageError(reason[:200]) from None


def _column(name: str, values: list[Any]) -> pl.Series:
    if any(isinstance(value, str) for value in values):
        return pl.Series(name, values, dtype=pl.String)
    if name.endswith("_s") or any(isinstance(value, float) for value in values):
        return pl.Series(name, values, dtype=pl.Float64)
    return pl.Series(name, values, dtype=pl.Int64)
