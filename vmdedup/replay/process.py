"""A process of a KSM script on the emulator."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from vmdedup.host.layout import HUGE, NOHUGE
from vmdedup.host.space import Memory
from vmdedup.replay.content import Content, pages_of

DEEDS: tuple[str, ...] = ("fill", "poke", "read", "discard", "unmap", "mergeable", "unmergeable", "digest", "exit")
DEEDS += ("hugepage", "nohugepage", "collapse")


class Process(Protocol):
    """What a script's process can do; memory is its address space, as anybody on the host sees it."""

    memory: Memory

    def do(self, deed: str, *arguments: Any) -> Any:
        """Do one of DEEDS."""

    def fork(self, child: str) -> Process:
        """fork(2)."""

    def close(self) -> None:
        """End what plays it, without any exit of the process played."""


class LocalProcess:
    """A script's process, played in this process."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    def fill(self, lo: int, hi: int, content: Content) -> None:
        """Store content in pages lo to hi."""
        for first, block in pages_of(content, lo, hi):
            self.memory.write_pages(np.arange(first, first + len(block)), block)

    def poke(self, page: int, offset: int, byte: int) -> None:
        """Store one byte."""
        self.memory.write(page, bytes([byte]), offset)

    def read(self, lo: int, hi: int) -> None:
        """Load a byte of each page."""
        self.memory.touch(np.arange(lo, hi + 1))

    def discard(self, lo: int, hi: int) -> None:
        """madvise(MADV_DONTNEED)."""
        self.memory.discard(np.arange(lo, hi + 1))

    def unmap(self, lo: int, hi: int) -> None:
        """munmap."""
        self.memory.unmap(lo, hi)

    def mergeable(self, lo: int, hi: int) -> None:
        """madvise(MADV_MERGEABLE)."""
        self.memory.mergeable(lo, hi)

    def unmergeable(self, lo: int, hi: int) -> None:
        """madvise(MADV_UNMERGEABLE)."""
        self.memory.unmergeable(lo, hi)

    def hugepage(self, lo: int, hi: int) -> None:
        """madvise(MADV_HUGEPAGE)."""
        self.memory.advise_huge(lo, hi, HUGE)

    def nohugepage(self, lo: int, hi: int) -> None:
        """madvise(MADV_NOHUGEPAGE)."""
        self.memory.advise_huge(lo, hi, NOHUGE)

    def collapse(self, lo: int, hi: int) -> bool:
        """madvise(MADV_COLLAPSE). False: it is refused."""
        return self.memory.collapse(lo, hi)

    def do(self, deed: str, *arguments: Any) -> Any:
        """Do one of DEEDS."""
        return getattr(self, deed)(*arguments)

    def fork(self, child: str) -> LocalProcess:
        """fork(2)."""
        return LocalProcess(self.memory.fork(child))

    def close(self) -> None:
        """Nothing is to be ended."""

    def digest(self) -> str:
        """SHA-256 of the mapped pages."""
        return self.memory.digest()

    def exit(self) -> None:
        """End; the memory is given back."""
        self.memory.exit()
