"""Parquet files of somebody else: decoded in a process of its own (decoding), by parts; nothing in them is believed."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

from vmdedup.errors import UsageError
from vmdedup.inputs import open_input
from vmdedup.result.decoder import HEAD, ROWS
from vmdedup.result.decoding import DECODER
from vmdedup.result.tables import Table, joined, read_stream

MARK: Final = "vmdedup"  # the key of what is ours in a file's metadata
MOST_CELLS: Final = 8_000_000  # of a table of few bytes: a day of samples; and one more a byte
_PART_CELLS: Final = 1 << 20


class ForeignTable:
    """A Parquet file from elsewhere, read in parts; memory in use is that of a part. A context manager.

    columns: names and polars types. mark: what stands in its metadata under MARK, or "". rows: how many it says it has.
    """

    def __init__(self, descriptor: int) -> None:
        """descriptor: of the file, which must stay open as long as this. UsageError: it is no such file, or broken."""
        self._descriptor = descriptor
        with ExitStack() as decoding:
            decoding.enter_context(DECODER)
            head = json.loads(self._ask(HEAD, {"mark": MARK}))
            self._decoding = decoding.pop_all()
        self.columns: dict[str, str] = head["columns"]
        self.mark: str = head["mark"] or ""
        self.rows: int = head["rows"]

    def part(self, columns: Sequence[str], first: int, after: int) -> Table:
        """Rows first to after - 1 of some columns; of all if none are named. UsageError: they are broken."""
        frame = read_stream(self._ask(ROWS, {"columns": list(columns), "first": first, "after": after}))
        if len(frame) != after - first:
            raise UsageError("rows are missing")
        return frame

    def _ask(self, kind: bytes, question: dict[str, Any]) -> bytes:
        answer = DECODER.ask(self._descriptor, question)
        if answer[:1] != kind:
            raise UsageError(answer[1:].decode(errors="replace"))
        return answer[1:]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._decoding.close()


def read_tables(paths: Sequence[Path]) -> list[Table]:
    """The tables in files. UsageError: one is no regular file, no table, or too large; which one is said."""
    with DECODER:  # one process for all
        return [_read(path) for path in paths]


def _read(path: Path) -> Table:
    descriptor = open_input(path, error=UsageError)
    try:
        with ForeignTable(descriptor) as table:
            return _whole(table, os.fstat(descriptor).st_size)
    except UsageError as error:
        raise UsageError(f"{path} is not a table of a run: {error}") from None
    finally:
        os.close(descriptor)


def _whole(table: ForeignTable, size: int) -> Table:
    """All rows. size: of the file, in bytes."""
    width = max(len(table.columns), 1)
    if not 0 <= table.rows * width <= MOST_CELLS + size:
        raise UsageError("it has far more rows than bytes")
    step = max(_PART_CELLS // width, 1)
    firsts = range(0, max(table.rows, 1), step)
    return joined([table.part((), first, min(first + step, table.rows)) for first in firsts])
