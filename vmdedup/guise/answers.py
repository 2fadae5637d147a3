"""Whom a file system asks for an emulated host's files: the run itself, or, in another process, over a socket.

    Operations, PlainFiles ──list, read, write──► Answers ◄── Near    the run is in this process
                                                          ◄── Far ──socket, JSON──► Clerk ──► Near

A message is one packet. What a file system cannot be told otherwise is told by OSError, with the kernel's number.
"""

from __future__ import annotations

import errno
import json
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from vmdedup.errors import KnobError, VmdedupError

if TYPE_CHECKING:
    from vmdedup.guise.files import HostFiles

A = TypeVar("A")
LARGEST = 1 << 18  # bytes of a message


class Answers(Protocol):
    """What there is and what it holds. Raises OSError."""

    def list(self) -> tuple[dict[str, int], dict[int, str]]:
        """Paths to modes, and processes by number: names."""

    def read(self, path: str) -> str:
        """A file's text now."""

    def read_all(self) -> dict[str, str]:
        """All files' texts at one moment."""

    def write(self, path: str, text: str) -> None:
        """Write to a file."""

    def name_process(self, number: int, pid: int) -> None:
        """Tell which process stands for one."""


class Near:
    """A run in this process. Fills Answers."""

    def __init__(self, files: HostFiles) -> None:
        self._files = files

    def list(self) -> tuple[dict[str, int], dict[int, str]]:
        """What there is."""
        found = _as_the_kernel(self._files.list)
        return dict(found.files), dict(found.processes)

    def read(self, path: str) -> str:
        """A file's text now."""
        return _as_the_kernel(lambda: self._files.read(path))

    def read_all(self) -> dict[str, str]:
        """All files' texts at one moment."""
        return _as_the_kernel(self._files.read_all)

    def write(self, path: str, text: str) -> None:
        """Write to a file."""
        _as_the_kernel(lambda: self._files.write(path, text))

    def name_process(self, number: int, pid: int) -> None:
        """Tell which process stands for one."""
        self._files.name_process(number, pid)


def _as_the_kernel(work: Callable[[], A]) -> A:
    try:
        return work()
    except KnobError as error:
        raise OSError(getattr(errno, error.errno_name), str(error)) from None
    except VmdedupError as error:
        raise OSError(errno.ENODEV, str(error)) from None


class Far:
    """A run in another process. Fills Answers; one thread at a time is answered."""

    def __init__(self, pipe: socket.socket) -> None:
        self._pipe, self._turn = pipe, threading.Lock()

    def ask(self, what: str, *arguments: Any) -> Any:
        """What the other side answers. OSError: as it says, or it has ended (ENODEV)."""
        with self._turn:
            try:
                self._pipe.send(json.dumps([what, *arguments]).encode())
                packet = self._pipe.recv(LARGEST)
            except OSError:
                packet = b""
        if not packet:
            raise OSError(errno.ENODEV, "the emulated host has ended")
        number, answer = json.loads(packet)
        if number:
            raise OSError(number, answer)
        return answer

    def list(self) -> tuple[dict[str, int], dict[int, str]]:
        """What there is."""
        files, processes = self.ask("list")
        return files, {int(number): name for number, name in processes.items()}

    def read(self, path: str) -> str:
        """A file's text now."""
        return str(self.ask("read", path))

    def read_all(self) -> dict[str, str]:
        """All files' texts at one moment."""
        texts: dict[str, str] = self.ask("read_all")
        return texts

    def write(self, path: str, text: str) -> None:
        """Write to a file."""
        self.ask("write", path, text)

    def name_process(self, number: int, pid: int) -> None:
        """Tell which process stands for one."""
        self.ask("name_process", number, pid)


class Clerk:
    """Answers what is asked over a socket, by a thread of its own, until either side closes it."""

    def __init__(self, pipe: socket.socket, near: Near, further: Mapping[str, Callable[..., Any]]) -> None:
        """further: what can be asked besides, by name."""
        self._pipe = pipe
        names = ("list", "read", "read_all", "write", "name_process")
        self._does: dict[str, Callable[..., Any]] = {**{name: getattr(near, name) for name in names}, **further}
        self._thread = threading.Thread(target=self._serve, name="vmdedup-clerk", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """No more answers."""
        with suppress(OSError):
            self._pipe.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._pipe.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while packet := self._pipe.recv(LARGEST):
                what, *arguments = json.loads(packet)
                try:
                    answer = [0, self._does[what](*arguments)]
                except OSError as error:
                    answer = [error.errno, error.strerror]
                self._pipe.send(json.dumps(answer).encode())


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends, wide enough for the largest message."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST)
    return ends
