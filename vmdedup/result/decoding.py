"""Parquet files of somebody else, read: each is decoded in a process of its own (decoder), whatever becomes of it."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import vmdedup.ours.child as child
from vmdedup.errors import UsageError
from vmdedup.inputs import open_input
from vmdedup.result.tables import Table, read_stream

MOST_CELLS: Final = 8_000_000  # of a table of few bytes: a day of samples; see decoder
_PATIENCE: Final = 120.0  # seconds for all tables
_LENGTH: Final = 8
_QUIET: Final = {"POLARS_MAX_THREADS": "1", "RUST_BACKTRACE": "0"}


def read_tables(paths: Sequence[Path]) -> list[Table]:
    """The tables in files. UsageError: one is no regular file, no table, or too large; which one is said."""
    descriptors: list[int] = []
    try:
        descriptors.extend(open_input(path, error=UsageError) for path in paths)
        answer = _decoded(descriptors)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return [_table(path, answer) for path in paths]


def _decoded(descriptors: Sequence[int]) -> io.BytesIO:
    """All that the decoder could answer before it ended, however it did."""
    command = child.python_module("vmdedup.result.decoder", str(MOST_CELLS), *map(str, descriptors))
    pipes = {"stdin": child.DEVNULL, "stdout": child.PIPE, "stderr": child.DEVNULL}
    try:
        done = child.run(command, _QUIET, pass_fds=descriptors, timeout=_PATIENCE, **pipes)
    except child.TimeoutExpired as error:
        return io.BytesIO(error.stdout or b"")
    return io.BytesIO(done.stdout)


def _table(path: Path, answer: io.BytesIO) -> Table:
    """The next answer as a table."""
    head = answer.read(_LENGTH)
    length = int.from_bytes(head, "little")
    content = answer.read(length)
    if len(head) < _LENGTH or len(content) < length or not content:
        raise UsageError(f"{path} is not a table of a run: it is damaged, or no Parquet file")
    if length == 1:
        raise UsageError(f"{path} is not a table of a run: it has far more rows than bytes")
    return read_stream(content)
