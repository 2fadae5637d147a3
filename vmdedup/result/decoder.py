"""The process in which Parquet files are decoded: `python -m vmdedup.result.decoder MEMORY SECONDS LONGEST`.

A damaged file can end the library that reads it, and the process with it, or have it take all memory; so that is a
process of its own, with limits, and what it dies of is known to be the file. Standard input is a socket: each message
is one question, with the file's descriptor. Each answer on standard output is its length and as many bytes, of which
the first says what follows: a JSON document of what is in the file, some of its rows as Arrow's IPC stream, or why
there are none. Before the first question one byte says that all is ready.
"""

from __future__ import annotations

import io
import json
import os
import resource
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import polars as pl

from vmdedup.signals import ignore_ending

READY: Final = b"r"
LENGTH: Final = 8  # bytes before each answer
HEAD, ROWS, REFUSED = b"h", b"t", b"e"
_QUESTION: Final = 1 << 16  # bytes, at most
_REASON: Final = 200  # characters
_WHAT_BREAKS = (OSError, ValueError, TypeError, OverflowError, MemoryError, pl.exceptions.PolarsError)


def main(arguments: list[str]) -> int:
    """Answer until nobody asks any more. MEMORY: bytes, for all. SECONDS: of CPU, LONGEST: bytes, of each answer."""
    memory, seconds, longest = map(int, arguments)
    ignore_ending()
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_DATA, _memory_now() + memory)  # what may be written to; mapping a large file is no harm
    with socket.socket(fileno=0) as questions:
        try:
            _answer(READY)
            while True:
                question, descriptors, _, _ = socket.recv_fds(questions, _QUESTION, 1)
                if not question:
                    return 0
                _limit(resource.RLIMIT_CPU, int(time.process_time()) + 1 + seconds)
                answer = answered(json.loads(question), descriptors[0], longest)
                os.close(descriptors[0])
                _answer(len(answer).to_bytes(LENGTH, "little") + answer)
        except (BrokenPipeError, ConnectionError):
            return 0  # whoever asked has gone


def answered(question: dict[str, Any], descriptor: int, longest: int) -> bytes:
    """The answer to a question about an open file.

    question: {"mark": NAME} for what is in the file; {"columns": [NAME…], "first": ROW, "after": ROW} for rows, and no
    names for all columns.
    """
    answer: Callable[..., bytes] = _head if "mark" in question else _rows
    try:
        said = answer(f"/proc/self/fd/{descriptor}", **question)
    except (*_WHAT_BREAKS, pl.exceptions.PanicException) as error:
        return _refused((str(error).splitlines() or ["damaged"])[0])
    return said if len(said) <= longest else _refused(f"what it holds takes more than {longest >> 20} MiB")


def _head(path: str, mark: str) -> bytes:
    document = {
        "columns": {name: str(kind) for name, kind in pl.read_parquet_schema(path).items()},
        "mark": pl.read_parquet_metadata(path).get(mark),
        "rows": int(pl.scan_parquet(path).select(pl.len()).collect().item()),
    }
    return HEAD + json.dumps(document).encode()


def _rows(path: str, columns: list[str], first: int, after: int) -> bytes:
    answer = io.BytesIO(ROWS)
    answer.seek(len(ROWS))
    found = pl.scan_parquet(path).select(columns or pl.all()).slice(first, after - first)
    found.collect().write_ipc_stream(answer)
    return answer.getvalue()


def _refused(reason: str) -> bytes:
    return REFUSED + reason[:_REASON].encode(errors="replace")


def _limit(what: int, most: int) -> None:
    """Set a soft limit, which can be set anew; a hard one that is lower stays."""
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _memory_now() -> int:
    """Bytes that this process may write to."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[5]) * resource.getpagesize()


def _answer(content: bytes) -> None:
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
