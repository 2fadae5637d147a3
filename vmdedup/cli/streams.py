"""The standard streams of a command: what cannot be written to them is one error, told in one place.

stdout   a full disk or a closed stream is an OutputError (one line, exit status 1); a reader who has gone ends us
stderr   what cannot be written there is lost, and changes nothing else
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress

from vmdedup.errors import OutputError

# Where standard streams are closed, these stand in, so that no file of ours gets their numbers. stdout's refuses
# writing, because a command whose answer goes nowhere has failed.
_STANDINS = ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY))


class _Stdout(io.TextIOWrapper):
    """Raises OutputError, and BrokenPipeError, where anything else would raise OSError."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            raise _refused(error) from None

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise _refused(error) from None


class _Stderr(io.TextIOWrapper):
    """Loses what cannot be written."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def open_streams() -> None:
    """Put our streams in place of Python's; names that are no UTF-8 do not stop them."""
    for number, flags in _STANDINS:
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # the lowest free number, which is this one
    sys.stdout = _Stdout(_raw(1), _encoding(1), "backslashreplace", line_buffering=os.isatty(1))
    sys.stderr = _Stderr(_raw(2), _encoding(2), "backslashreplace", line_buffering=True)


def abandon_stdout() -> None:
    """Let whatever is still to be written there go nowhere: it has failed once, and must not at exit again."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)


def _raw(number: int) -> io.BufferedWriter:
    return io.BufferedWriter(io.FileIO(number, "w", closefd=False))


def _encoding(number: int) -> str:
    """A terminal's own; UTF-8 for everything else, since documents are read by programs."""
    stream = sys.__stdout__ if number == 1 else sys.__stderr__
    return stream.encoding if stream is not None and os.isatty(number) else "utf-8"


def _refused(error: OSError) -> OSError | OutputError:
    if isinstance(error, BrokenPipeError):
        return error
    return OutputError(f"standard output cannot be written: {error.strerror}; redirect it to where there is room")
