"""Log records of every process through one handler, in the order in which they were written.

    guest ─┐
    guest ─┼─► pipe ─► thread in the parent ─► the parent's handler (stderr, say)
    ksmd ──┤
    parent ┘

A record is one write of at most PIPE_BUF bytes, which the kernel keeps whole and in order without any lock,
so a process that is killed in the middle of logging blocks nobody. The receiving thread and the packing of
records are multiprocessing-logging's; only its queue, whose writers hold a lock, is replaced by the pipe. That takes
names of the library's that are not public, so its versions are pinned, and tests/host/test_logs.py says which names.
"""

from __future__ import annotations

import copy
import logging
import pickle
import select
import threading
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from queue import Empty
from typing import Any

from multiprocessing_logging import MultiProcessingHandler

from vmdedup.closing import Closing

LOGGER = "vmdedup"
_LARGEST = select.PIPE_BUF - 4  # the connection writes the length before the record
_SHORTENED = 400  # characters kept of a message that is too long


class Logs(Closing):
    """In the parent: whatever the package logs, in whichever process, goes to one handler until close()."""

    def __init__(self, handler: logging.Handler, level: int = logging.WARNING) -> None:
        self._logger = logging.getLogger(LOGGER)
        self._before = (list(self._logger.handlers), self._logger.level, self._logger.propagate)
        self._queue = _PipeQueue()
        self._handler = _ReceivingHandler(handler, self._queue)
        self._level = level
        _install(self._logger, self._handler, level)

    def channel(self) -> LogChannel:
        """What a child process needs in order to send its records here."""
        return LogChannel(self._queue.sending, self._level)

    def close(self) -> None:
        """Hand over what has been sent so far and leave the logger as it was."""
        self._handler.close()
        self._logger.handlers, self._logger.level, self._logger.propagate = self._before


class LogChannel:
    """The sending end; picklable into a child process that multiprocessing starts."""

    def __init__(self, sending: Connection, level: int) -> None:
        self._sending = sending
        self._level = level

    def attach(self) -> None:
        """Send this process's records to the parent; called once, at the start of a child process."""
        _install(logging.getLogger(LOGGER), _SendingHandler(self._sending), self._level)


class _PipeQueue:
    """The part of a queue that multiprocessing-logging uses, on a pipe."""

    def __init__(self) -> None:
        self.receiving, self.sending = Pipe(duplex=False)

    def put_nowait(self, record: logging.LogRecord) -> None:
        send(self.sending, record)

    def get(self, timeout: float) -> logging.LogRecord:
        if not self.receiving.poll(timeout):
            raise Empty
        record: logging.LogRecord = pickle.loads(self.receiving.recv_bytes())
        return record

    def qsize(self) -> int:
        return int(self.receiving.poll(0))

    def close(self) -> None:
        self.receiving.close()
        self.sending.close()

    def join_thread(self) -> None:
        """Nothing to wait for: whoever logs sends the record itself."""


class _ReceivingHandler(MultiProcessingHandler):  # type: ignore[misc]
    """The library's handler on our queue; its own constructor would make a queue with a lock."""

    def __init__(self, handler: logging.Handler, queue: _PipeQueue) -> None:
        logging.Handler.__init__(self)
        self.sub_handler = handler
        self.queue = queue
        self._is_closed = False
        self._receive_thread = threading.Thread(target=self._receive, name="vmdedup-logs", daemon=True)
        self._receive_thread.start()


class _SendingHandler(MultiProcessingHandler):  # type: ignore[misc]
    """A child's handler: packs records as the library does and sends them; the parent formats and writes."""

    def __init__(self, sending: Connection) -> None:
        logging.Handler.__init__(self)
        self._sending = sending

    def _send(self, record: logging.LogRecord) -> None:
        try:
            send(self._sending, record)
        except OSError:
            return  # the parent is gone; nobody is left to tell

    def close(self) -> None:
        logging.Handler.close(self)


def send(sending: Connection, record: logging.LogRecord) -> None:
    """One record in one write; a message too long for that is shortened."""
    packed = pickle.dumps(record)
    if len(packed) > _LARGEST:
        packed = pickle.dumps(_shortened(record))
    sending.send_bytes(packed)


def _shortened(record: logging.LogRecord) -> logging.LogRecord:
    short = copy.copy(record)
    short.msg = f"{str(record.msg)[:_SHORTENED]} … (shortened)"
    short.exc_text = (record.exc_text or "")[-_SHORTENED:] or None
    return short


def _install(logger: logging.Logger, handler: Any, level: int) -> None:
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False
