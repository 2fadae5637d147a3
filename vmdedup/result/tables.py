"""Tables: rows of plain values to polars frames and Parquet bytes, and back. With decoder the only importer of polars.

Parquet, because it keeps names and types and every notebook reads it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any, Final

import polars as pl
from numpy.typing import NDArray

from vmdedup.errors import UsageError, VmdedupError

Row = Mapping[str, Any]  # int, float or str; None where nobody can know
Table = pl.DataFrame
LONGEST_TEXT: Final = 1024  # bytes; names of guests
LARGEST: Final = 1e15  # pages, bytes, seconds: products of two are numbers still


def table(rows: Sequence[Row], columns: Iterable[str] = ()) -> Table:
    """A frame of the rows, in the order of the first row's keys; columns names them when there are no rows.

    Columns that end in `_s` are seconds (Float64), strings are strings, everything else is Int64 unless some
    value is a float. Raises KeyError if a row lacks a column of the first.
    """
    names = list(rows[0]) if rows else list(columns)
    return pl.DataFrame({name: _column(name, [row[name] for row in rows]) for name in names})


def typed_table(rows: Sequence[Row], columns: Mapping[str, type]) -> Table:
    """A frame with these columns, int, float or str; None stands where a row has nothing."""
    kinds: dict[type, type[pl.DataType]] = {int: pl.Int64, float: pl.Float64, str: pl.String}
    made = {name: pl.Series(name, [row[name] for row in rows], dtype=kinds[kind]) for name, kind in columns.items()}
    return pl.DataFrame(made)


def records(frame: Table) -> list[dict[str, Any]]:
    """The rows of a frame as plain dictionaries."""
    return frame.to_dicts()


def to_parquet(frame: Table) -> bytes:
    """The frame as the bytes of a Parquet file; the same frame gives the same bytes."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=False)
    return buffer.getvalue()


def read_stream(content: bytes) -> Table:
    """The frame in an IPC stream that a process of ours made (result.decoding). UsageError: polars cannot take it."""
    with _broken():
        return pl.read_ipc_stream(io.BytesIO(content))


def joined(frames: Sequence[Table]) -> Table:
    """One frame of parts, of which there is one at least. UsageError: they do not fit together."""
    with _broken():
        return pl.concat(frames)


def columns_of(frame: Table) -> dict[str, NDArray[Any]]:
    """Its columns as arrays. UsageError: there is nothing in some row."""
    if any(frame[name].null_count() for name in frame.columns):
        raise UsageError("rows lack values")
    return {name: frame[name].to_numpy() for name in frame.columns}


def column_problem(frame: Table, name: str, is_text: bool, may_lack: bool) -> str:
    """What keeps a column from being text, or numbers to reckon with, or nothing. may_lack: some rows may have none."""
    column = frame[name]
    if not len(column):
        return ""  # a table without rows does not know its types
    if column.null_count() and not may_lack:
        return "lacks values"
    if is_text:
        if column.dtype != pl.String:
            return f"holds {column.dtype}, no text"
        return "has texts that are too long" if _longest(column) > LONGEST_TEXT else ""
    if column.null_count() == len(column):
        return ""
    if not column.dtype.is_numeric() or column.dtype.is_decimal() or column.dtype == pl.Int128:
        return f"holds {column.dtype}, no numbers"
    if column.dtype.is_float() and not column.drop_nulls().is_finite().all():
        return "holds what is no number"
    largest = max(abs(float(each)) for each in (column.min(), column.max()))  # type: ignore[arg-type]
    return f"holds numbers beyond {LARGEST:g}" if largest > LARGEST else ""


def _longest(column: pl.Series) -> int:
    longest = column.str.len_bytes().max()
    return longest if isinstance(longest, int) else 0


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
