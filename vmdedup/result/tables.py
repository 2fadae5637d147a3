"""Tables: rows of plain values to polars frames and Parquet bytes, and back. The only importer of polars.

Parquet, because it keeps names and types and every notebook reads it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vmdedup.errors import UsageError, VmdedupError

Row = Mapping[str, Any]  # int, float or str; None where nobody can know
Table = pl.DataFrame


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


def arrays(frame: Table, columns: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Columns of a frame as arrays. ValueError: one holds nothing in some row, or no plain numbers."""
    found = {name: frame[name].to_numpy() for name in columns}
    if any(frame[name].null_count() or array.dtype == np.object_ for name, array in found.items()):
        raise ValueError("rows lack values")
    return found


def write_marked_parquet(frame: Table, file: IO[bytes], marks: Mapping[str, str]) -> None:
    """Write a frame, with metadata of its own, to an open file. VmdedupError: it cannot be written."""
    try:
        frame.write_parquet(file, compression="zstd", metadata=dict(marks))
    except pl.exceptions.PolarsError as error:
        raise VmdedupError(f"the fingerprints cannot be written: {str(error).splitlines()[0]}") from None


def read_marked_parquet(path: Path, columns: Sequence[str]) -> tuple[Table, dict[str, str]]:
    """Columns of a Parquet file, and its metadata. UsageError: it is broken, or lacks a column."""
    try:
        return pl.read_parquet(path, columns=list(columns)), pl.read_parquet_metadata(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UsageError(str(error).splitlines()[0]) from None


def _column(name: str, values: list[Any]) -> pl.Series:
    if any(isinstance(value, str) for value in values):
        return pl.Series(name, values, dtype=pl.String)
    if name.endswith("_s") or any(isinstance(value, float) for value in values):
        return pl.Series(name, values, dtype=pl.Float64)
    return pl.Series(name, values, dtype=pl.Int64)
