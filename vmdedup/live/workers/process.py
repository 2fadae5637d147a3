"""The driver's side of worker processes: start, ask, end.

Workers are forked by a small nursery process, not by the driver, so a worker is small whatever the driver has
loaded. They live in a session of their own (Ctrl-C is the driver's affair) and end when the driver does.
"""

from __future__ import annotations

import mmap
import os
import select
import socket
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import GuestError, HostError
from vmdedup.live.workers import worker as protocol
from vmdedup.live.workers.worker import PAGE, REPLY, REQUEST
from vmdedup.ours import child

WINDOW_PAGES = 1024
_PATIENCE = 120.0  # seconds for one answer; unmerging gigabytes takes a few


class Worker:
    """One worker process, and its one mapping of `pages` pages at `base`."""

    def __init__(self, name: str, connection: socket.socket, pages: int) -> None:
        """Wait for the process behind the connection to say who it is."""
        self.name = name
        self.pages = pages
        self._socket = connection
        connection.settimeout(_PATIENCE)
        self.base, self.pid = self._first_answer()
        self._pidfd = os.pidfd_open(self.pid)

    def ask(self, what: bytes, *numbers: int) -> bytes:
        """Send a request of at most three numbers and return what its answer has besides the status."""
        numbers += (0,) * (3 - len(numbers))
        self._send(REQUEST.pack(what, *numbers))
        return self._answer()[1]

    def fork(self, name: str) -> Worker:
        """Have the process fork; return the child."""
        return start(name, self._socket, protocol.FORK, self.pages, self.base)

    def exit(self) -> None:
        """End the process; its memory is gone when this returns, since a task exits after its memory."""
        with suppress(OSError):  # it may be dead already
            self._socket.send(REQUEST.pack(protocol.EXIT, 0, 0, 0))
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        if not poll.poll(_PATIENCE * 1000):
            raise GuestError(f"process {self.pid} ({self.name}) does not end; kill it")
        os.close(self._pidfd)
        self._socket.close()

    def digest(self, runs: list[tuple[int, int]]) -> str:
        """Return the SHA-256 of the pages of these inclusive ranges, in hex."""
        for lo, hi in runs[:-1]:
            self.ask(protocol.HASH, lo, hi, 0)
        lo, hi = runs[-1] if runs else (1, 0)
        return self.ask(protocol.HASH, lo, hi, 1).hex()

    def _first_answer(self) -> tuple[int, int]:
        try:
            base, pid = self._answer()
        except GuestError:
            raise HostError(f"no memory to start process {self.name!r} with; give it fewer pages") from None
        return base, int.from_bytes(pid, "little")

    def _send(self, request: bytes) -> None:
        try:
            self._socket.send(request)
        except OSError:
            raise self._dead() from None

    def _answer(self) -> tuple[int, bytes]:
        try:
            data = self._socket.recv(256)
        except TimeoutError:
            raise GuestError(f"process {self.name!r} has not answered for {_PATIENCE:.0f} s") from None
        except OSError:
            raise self._dead() from None
        if not data:
            raise self._dead()
        error, number = REPLY.unpack_from(data)
        if error:
            raise GuestError(f"process {self.name!r}: {os.strerror(error)}")
        return number, data[REPLY.size :]

    def _dead(self) -> GuestError:
        return GuestError(f"process {self.name!r} died (killed, perhaps for want of memory); see dmesg")


def start(name: str, parent: socket.socket, what: bytes, pages: int, number: int = 0) -> Worker:
    """Have the process behind `parent` fork a worker with a socket of its own. number: the request's second."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        socket.send_fds(parent, [REQUEST.pack(what, pages, number, 0)], [theirs.fileno()])
    try:
        return Worker(name, ours, pages)
    except BaseException:
        ours.close()
        raise


class Nursery:
    """Starts workers, and holds the window through which page contents go to them."""

    def __init__(self) -> None:
        """Start the nursery process. HostError: no memory or no process to be had."""
        size = WINDOW_PAGES * PAGE
        memfd = os.memfd_create("vmdedup-window")
        try:
            os.ftruncate(memfd, size)
            self._map = mmap.mmap(memfd, size)
            self._process, self._socket = _launch(memfd, size)
        except OSError as error:
            raise HostError(f"no helper process: {error.strerror}; free some memory") from None
        finally:
            os.close(memfd)
        self.window: NDArray[np.uint8] = np.frombuffer(self._map, np.uint8).reshape(WINDOW_PAGES, PAGE)

    def vm(self, name: str, pages: int, huge: bool = False) -> Worker:
        """Start a worker with a new mergeable mapping. huge: which may have huge pages."""
        return start(name, self._socket, protocol.VM, pages, int(huge))

    def close(self) -> None:
        """End the nursery; workers that live on end on their own when the driver does."""
        self._socket.close()
        self._process.wait()


def _launch(memfd: int, size: int) -> tuple[child.Process[Any], socket.socket]:
    """Start the nursery process, lean and in a session of its own; return it and the socket to it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    owner = os.pidfd_open(os.getpid())
    descriptors = (theirs.fileno(), owner, memfd)
    try:
        process = child.start(
            child.python_script(protocol.__file__, *map(str, descriptors), str(size)),
            pass_fds=descriptors,
            stdin=child.DEVNULL,
            start_new_session=True,
        )
    finally:
        theirs.close()
        os.close(owner)
    return process, ours
