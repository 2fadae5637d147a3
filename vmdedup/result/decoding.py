"""The process that decodes Parquet files of somebody else (decoder): one for all files in use, asked by parts.

It is started with the first question and ended when no file is in use any more. A file that it dies of costs it alone.
"""

from __future__ import annotations

import json
import os
import select
import socket
import threading
import time
from contextlib import suppress
from typing import Any, Final

import vmdedup.ours.child as child
from vmdedup.errors import EnvironmentLacksError, UsageError
from vmdedup.result.decoder import LENGTH, READY

MEMORY: Final = 1 << 30  # bytes, beyond what the libraries take
SECONDS: Final = 20  # of CPU, for one answer
LONGEST: Final = 256 << 20  # bytes of an answer
PATIENCE: Final = 180.0  # seconds for an answer: other processes may have the CPU
_STARTING: Final = 180.0  # seconds until it is ready
_PIECE: Final = 1 << 20
_QUIET: Final = {"POLARS_MAX_THREADS": "1", "RUST_BACKTRACE": "0"}


class Decoder:
    """The process, and who uses it: it lives while entered, as often as one likes; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._process: _Process | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._end()

    def ask(self, descriptor: int, question: dict[str, Any]) -> bytes:
        """The answer to a question about an open file: how it begins says what it is (see decoder).

        UsageError: the process died of the file, or took too long. EnvironmentLacksError: there can be no process.
        """
        with self._lock:
            try:
                if self._process is None:
                    self._process = _Process()
                return self._process.ask(descriptor, question)
            except BaseException:  # also if nobody waits for the answer any more: it must not be the next one's
                self._end()
                raise

    def _end(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None


class _Process:
    def __init__(self) -> None:
        self._questions, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = child.python_module("vmdedup.result.decoder", str(MEMORY), str(SECONDS), str(LONGEST))
        try:
            with theirs:
                self._process = child.start(command, _QUIET, stdin=theirs, stdout=child.PIPE, stderr=child.DEVNULL)
        except OSError as error:
            self._questions.close()
            raise _none(error.strerror or "it cannot be started") from None
        try:
            self._read(len(READY), time.monotonic() + _STARTING)
        except (EOFError, TimeoutError):
            self.end()
            raise _none("it ended at once, or is not ready in time; is there memory enough?") from None
        except BaseException:
            self.end()
            raise

    def ask(self, descriptor: int, question: dict[str, Any]) -> bytes:
        """As Decoder.ask."""
        end = time.monotonic() + PATIENCE
        try:
            message = [json.dumps(question).encode()]
            socket.send_fds(self._questions, message, [descriptor], socket.MSG_NOSIGNAL)
            length = int.from_bytes(self._read(LENGTH, end), "little")
            if not 0 < length <= LONGEST:
                raise EOFError
            return self._read(length, end)
        except (EOFError, ConnectionError):
            room = f"{MEMORY >> 20} MiB of memory or {SECONDS} s"
            raise UsageError(f"it is damaged, or decoding it takes more than {room}") from None
        except TimeoutError:
            raise UsageError(f"decoding it takes more than {PATIENCE:g} s") from None

    def _read(self, length: int, end: float) -> bytes:
        """So many bytes. EOFError: there will be no more. TimeoutError: there are not as many at the end."""
        assert self._process.stdout is not None
        answers = self._process.stdout.fileno()
        poll = select.poll()
        poll.register(answers, select.POLLIN)
        parts: list[bytes] = []
        while length:
            if not poll.poll(max(end - time.monotonic(), 0) * 1000):
                raise TimeoutError
            part = os.read(answers, min(length, _PIECE))
            if not part:
                raise EOFError
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def end(self) -> None:
        """End it, whatever it is doing."""
        self._questions.close()
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            with suppress(OSError):
                self._process.stdout.close()


def _none(why: str) -> EnvironmentLacksError:
    return EnvironmentLacksError(f"Parquet files are decoded by a process of its own, and there is none: {why}")


DECODER: Final = Decoder()
