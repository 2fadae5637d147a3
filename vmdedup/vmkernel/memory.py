"""The mapping of a process of a script in a guest: made, stored to, loaded from, advised, hashed."""

from __future__ import annotations

import hashlib
import os

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import GuestError
from vmdedup.replay.content import Content, pages_of
from vmdedup.units import PAGE_SIZE
from vmdedup.vmkernel import numbers as sys
from vmdedup.vmkernel.agent import COPY, LOAD
from vmdedup.vmkernel.guest import PROGRAM, Calls, Guest, Process

BASE = 0x100_0000_0000  # of each process's mapping; the beginning of a huge page
_KERNELS_OWN = 1 << 47  # from here on
_BLOCK = 256  # pages that go through the window at a time


class GuestMemory:
    """A process and its one mapping, pages numbered from 0. mapped: bool (pages,), which of them are not unmapped."""

    def __init__(self, guest: Guest, process: Process, pages: int) -> None:
        self.guest, self.process, self.pages = guest, process, pages
        self.mapped: NDArray[np.bool_] = np.ones(pages, np.bool_)
        self._merges_any = False

    @property
    def pid(self) -> int:
        """Its number in the guest."""
        return self.process.pid

    def map(self) -> None:
        """Make the mapping: private, anonymous, of nothing but holes. GuestError: the guest has no room for it."""
        flags = sys.MAP_PRIVATE | sys.MAP_ANONYMOUS | sys.MAP_NORESERVE | sys.MAP_FIXED_NOREPLACE
        result = self.do(sys.MMAP, BASE, self.pages * PAGE_SIZE, sys.PROT_READ_WRITE, flags, -1, 0)
        if result != BASE:
            raise GuestError(f"the guest has no room for {self.pages} pages: {os.strerror(-result)}; take fewer")

    def execute(self) -> int:
        """Run the program anew, without any mapping yet. Returns 0, or the negative error."""
        calls = self.guest.calls()
        nothing = calls.put(bytes(8))
        calls.add(sys.EXECVE, calls.put(PROGRAM), nothing, nothing)
        self.mapped[:] = True
        result = self.run(calls)[0]
        if self._merges_any:
            self._spare_own()
        return result

    def merge_any(self, on: bool) -> int:
        """PR_SET_MEMORY_MERGE; but what the program itself has stays as it is. Returns 0, or the negative error."""
        result = self.do(sys.PRCTL, sys.PR_SET_MEMORY_MERGE, int(on), 0, 0, 0)
        if result == 0:
            self._merges_any = on
            if on:
                self._spare_own()
        return result

    def _spare_own(self) -> None:
        """Advise against merging the program's own memory, so that a script is about its mappings alone."""
        maps = self.guest.read(f"/proc/{self.pid}/maps", 4)
        calls = self.guest.calls()
        for line in maps.decode().splitlines() if isinstance(maps, bytes) else ():
            start, end = (int(word, 16) for word in line.split()[0].split("-"))
            if not BASE <= start < address(self.pages) and start < _KERNELS_OWN:
                calls.add(sys.MADVISE, start, end - start, sys.MADV_UNMERGEABLE)
        self.run(calls)

    def fork(self) -> GuestMemory:
        """A child with the same mapping."""
        child = GuestMemory(self.guest, self.guest.fork(self.process), self.pages)
        child.mapped, child._merges_any = self.mapped.copy(), self._merges_any
        return child

    def do(self, number: int, *arguments: int) -> int:
        """One system call of the process's. Returns what it returns."""
        calls = self.guest.calls()
        calls.add(number, *arguments)
        return self.run(calls)[0]

    def run(self, calls: Calls) -> list[int]:
        """Several calls. GuestError: the process has not survived them."""
        return self.guest.run_in(self.process, calls)

    def advise(self, advice: int, lo: int, hi: int) -> int:
        """madvise of pages lo to hi. Returns 0, or the negative error."""
        return self.do(sys.MADVISE, address(lo), (hi - lo + 1) * PAGE_SIZE, advice)

    def bind(self, node: int) -> int:
        """mbind of the whole mapping to a node. Returns 0, or the negative error."""
        calls = self.guest.calls()
        nodes = calls.put((1 << node).to_bytes(8, "little"))
        calls.add(sys.MBIND, address(0), self.pages * PAGE_SIZE, sys.MPOL_BIND, nodes, 65, 0)
        return self.run(calls)[0]

    def unmap(self, lo: int, hi: int) -> None:
        """munmap."""
        self.do(sys.MUNMAP, address(lo), (hi - lo + 1) * PAGE_SIZE)
        self.mapped[lo : hi + 1] = False

    def fill(self, lo: int, hi: int, content: Content) -> None:
        """Store a content in pages lo to hi, ascending."""
        for first, block in pages_of(content, lo, hi, _BLOCK):
            self.store(address(first), block.tobytes())

    def store(self, where: int, data: bytes) -> None:
        """Store bytes, ascending."""
        calls = self.guest.calls()
        calls.add(COPY, where, calls.put(data), len(data))
        self.run(calls)

    def load(self, lo: int, hi: int) -> None:
        """Load one byte of each page."""
        calls = self.guest.calls()
        calls.add(LOAD, address(lo), hi - lo + 1)
        self.run(calls)

    def digest(self) -> str:
        """SHA-256 of the mapped pages in order; each of them is read."""
        digest = hashlib.sha256()
        for lo, hi in runs(self.mapped):
            for first in range(lo, hi + 1, _BLOCK):
                size = (min(hi, first + _BLOCK - 1) - first + 1) * PAGE_SIZE
                calls = self.guest.calls()
                room = calls.room(size)
                calls.add(COPY, room, address(first), size)
                self.run(calls)
                digest.update(calls.get(room, size))
        return digest.hexdigest()


def address(page: int) -> int:
    """Where a page is in its process."""
    return BASE + page * PAGE_SIZE


def runs(mapped: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The inclusive ranges of pages that are mapped, ascending."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mapped, [False])).astype(np.int8)))
    return [(int(lo), int(hi) - 1) for lo, hi in edges.reshape(-1, 2)]
