"""A process whose memory a KSM script works on. Run as a script: worker.py SOCKET OWNER WINDOW BYTES.

    driver ──SEQPACKET socket──► nursery ──fork──► worker ──fork──► worker …     one socket each

The first process, the nursery, has no mapping and only forks. Every process answers requests until its
socket ends, it is told to, or the process behind the pidfd OWNER is dead, whoever its parent was. Page
contents come through WINDOW, a memfd of so many bytes that all map; the stores happen here. Standard
library only, and little of it: the worker is started with `python -I -S`, and each has these pages too.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import mmap
import os
import select
import signal
import socket
import struct
import sys

REQUEST = struct.Struct("<cQQQ")  # what, and three numbers
REPLY = struct.Struct("<qQ")  # errno or 0, and a number; a digest follows

VM, FORK, STORE, POKE, READ, ADVISE, UNMAP, HASH, EXIT = (bytes([code]) for code in b"VFSPRAUHX")

PAGE = 4096
MERGEABLE, HUGE_PAGES, NO_HUGE_PAGES = 12, 14, 15
HUGE = 2 << 20
MAP_NORESERVE = 0x4000
_FAILED = ctypes.c_void_p(-1).value
_PR_SET_CHILD_SUBREAPER = 36

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class Worker:
    """One process: its socket, and where its mapping is. base is 0 in the nursery."""

    def __init__(self, connection: int, owner: int, window: int) -> None:
        self.owner = owner
        self.window = window
        self.base = 0
        self.hash = hashlib.sha256()
        self.adopt(connection)

    def adopt(self, connection: int) -> None:
        """Speak to the driver over this descriptor from now on."""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, connection)
        self.poll = select.poll()
        self.poll.register(self.socket, select.POLLIN)
        self.poll.register(self.owner, select.POLLIN)

    def serve(self) -> None:
        """Answer requests until there is nobody to answer to."""
        while True:
            ready = dict(self.poll.poll())
            if self.owner in ready:
                return
            data, descriptors, _, _ = socket.recv_fds(self.socket, REQUEST.size, 1)
            if not data:
                return
            what, *numbers = REQUEST.unpack(data)
            if what == EXIT:
                return
            self.answer(what, numbers, descriptors)

    def answer(self, what: bytes, numbers: list[int], descriptors: list[int]) -> None:
        """Do one request. A fork is answered by the child over its own socket, all else here."""
        if descriptors:
            self.fork(descriptors[0], *(numbers[:2] if what == VM else (0, 0)))
            return
        try:
            extra = ACTIONS[what](self, *numbers) or b""
        except OSError as error:
            self.reply(error.errno or errno.EIO)
        else:
            self.reply(0, extra=extra)

    def reply(self, error: int, number: int = 0, extra: bytes = b"") -> None:
        """Send one answer."""
        self.socket.send(REPLY.pack(error, number) + extra)

    def fork(self, connection: int, pages: int, huge: int) -> None:
        """Fork; the child adopts the connection, and with pages > 0 makes a mapping. It answers (base).

        huge: 1 if the mapping is to have huge pages, and begin where one can.
        """
        if os.fork():
            os.close(connection)
            return
        self.socket.close()
        self.adopt(connection)
        try:
            if pages:
                self.base = huge_mapping(pages * PAGE) if huge else new_mapping(pages * PAGE)
        except OSError as error:
            self.reply(error.errno or errno.EIO)
            os._exit(1)
        self.reply(0, self.base, os.getpid().to_bytes(8, "little"))

    def store(self, page: int, count: int, _: int) -> None:
        """Copy the first `count` pages of the window to the pages from `page` on."""
        ctypes.memmove(self.base + page * PAGE, self.window, count * PAGE)

    def poke(self, page: int, offset: int, byte: int) -> None:
        """Store one byte."""
        ctypes.c_ubyte.from_address(self.base + page * PAGE + offset).value = byte

    def read(self, lo: int, hi: int, _: int) -> None:
        """Load one byte of each page."""
        bytes(self.view(lo, hi)[::PAGE])

    def advise(self, lo: int, hi: int, advice: int) -> None:
        """madvise."""
        check(libc.madvise(self.base + lo * PAGE, (hi - lo + 1) * PAGE, advice))

    def unmap(self, lo: int, hi: int, _: int) -> None:
        """munmap."""
        check(libc.munmap(self.base + lo * PAGE, (hi - lo + 1) * PAGE))

    def digest(self, lo: int, hi: int, last: int) -> bytes:
        """Hash these pages too; if they are the last ones, answer the SHA-256 and start anew."""
        if hi >= lo:
            self.hash.update(self.view(lo, hi))
        if not last:
            return b""
        result = self.hash.digest()
        self.hash = hashlib.sha256()
        return result

    def view(self, lo: int, hi: int) -> memoryview:
        """Return the bytes of the pages lo..hi."""
        kind = ctypes.c_ubyte * ((hi - lo + 1) * PAGE)
        return memoryview(kind.from_address(self.base + lo * PAGE)).cast("B")


ACTIONS = {
    STORE: Worker.store,
    POKE: Worker.poke,
    READ: Worker.read,
    ADVISE: Worker.advise,
    UNMAP: Worker.unmap,
    HASH: Worker.digest,
}


def new_mapping(length: int, advices: tuple[int, ...] = (MERGEABLE,)) -> int:
    """Return the address of a new private anonymous mapping of small pages, advised so. OSError: no memory."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    base = libc.mmap(None, length, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
    check(-1 if base == _FAILED else 0)
    for advice in (NO_HUGE_PAGES, *advices):
        result = libc.madvise(base, length, advice)
        if advice != NO_HUGE_PAGES or ctypes.get_errno() != errno.EINVAL:  # EINVAL: a kernel without huge pages
            check(result)
    return int(base)


def huge_mapping(length: int, advices: tuple[int, ...] = (MERGEABLE,)) -> int:
    """Return the address of a new mapping that may have huge pages from there on, advised so. OSError: no memory.

    What lies before it, and behind, is plain and never touched.
    """
    base = new_mapping(length + HUGE, ())
    base += -base % HUGE
    for advice in (HUGE_PAGES, *advices):
        check(libc.madvise(base, length, advice))
    return base


def check(result: int) -> None:
    """Raise OSError for a failed call of the C library."""
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def main() -> None:
    """Be the nursery."""
    connection, owner, window, size = map(int, sys.argv[1:])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are reaped by the kernel
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # those of dead workers too
    address = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, window, 0)
    check(-1 if address == _FAILED else 0)
    try:  # noqa: SIM105, whose import each of these processes would have in memory
        Worker(connection, owner, address).serve()
    except (BrokenPipeError, ConnectionResetError):  # whoever asked is gone, be it of this one or of a fork
        pass


if __name__ == "__main__":
    main()
    os._exit(0)
