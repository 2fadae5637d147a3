"""The process in which Parquet files are decoded: `python -m vmdedup.result.decoder MOST_CELLS FD…`.

A damaged file can end the library that reads it, and the process with it, or have it take all memory; so that is a
process of its own, with limits, and what it dies of is known to be the file. For each descriptor it answers on stdout
with a length and as many bytes: the table, as Arrow's IPC stream, which the same library made of what it had read. Of
a file that is no table the answer is empty, and of one that is too large it has one byte.
"""

from __future__ import annotations

import io
import os
import resource
import sys
from typing import Final

import polars as pl

MEMORY: Final = 6 << 30  # bytes of address space; most of it is reserved, not used
SECONDS: Final = 60  # of CPU
LENGTH: Final = 8  # bytes before each answer
TOO_LARGE: Final = b"!"


def main(arguments: list[str]) -> int:
    """Answer for each descriptor."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most, *descriptors = map(int, arguments)
    for descriptor in descriptors:
        with os.fdopen(descriptor, "rb") as file:
            answer = decoded(file.read(), most)
        sys.stdout.buffer.write(len(answer).to_bytes(LENGTH, "little") + answer)
        sys.stdout.buffer.flush()
    return 0


def decoded(content: bytes, most: int) -> bytes:
    """The answer for a file's content; a table of few bytes may have up to so many cells, and one more a byte."""
    try:
        source = io.BytesIO(content)
        columns = len(pl.read_parquet_schema(source))
        rows = int(pl.scan_parquet(io.BytesIO(content)).select(pl.len()).collect().item())
        if rows * max(1, columns) > most + len(content):
            return TOO_LARGE
        answer = io.BytesIO()
        pl.read_parquet(io.BytesIO(content)).write_ipc_stream(answer)
    except (OSError, ValueError, TypeError, MemoryError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return b""
    return answer.getvalue()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
