"""The mapping of a process of a script in a guest: made, stored to, loaded from, advised, hashed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import GuestError
from vmdedup.replay.content import Content, pages_of
from vmdedup.units import PAGE_SIZE
from vmdedup.vmkernel import numbers as sys
from vmdedup.vmkernel.agent import COPY, LOAD
from vmdedup.vmkernel.guest import Calls, Guest, Process

BASE = 0x100_0000_0000  # of each process's mapping; the beginning of a huge page
_BLOCK = 256  # pages that go through the window at a time


class GuestMemory:
    """A process and its one mapping, pages numbered from 0. mapped: bool (pages,), which of them are not unmapped."""

    def __init__(self, guest: Guest, process: Process, pages: int) -> None:
        self.guest, self.process, self.pages = guest, process, pages
        self.mapped: NDArray[np.bool_] = np.ones(pages, np.bool_)

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

    def fork(self) -> GuestMemory:
        """A child with the same mapping."""
        child = GuestMemory(self.guest, self.guest.fork(self.process), self.pages)
        child.mapped = self.mapped.copy()
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


def run_lengths(values: Iterable[object], join: str) -> str:
    """Equal neighbours as one word: value, join, how many."""
    return " ".join(f"{value}{join}{len(list(equal))}" for value, equal in groupby(values))
