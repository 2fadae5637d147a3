"""The kernel of a built image: its own bytes, moved as a boot moves them.

Unpacked once for all guests that have it. Content and places lie in shared memory, handed down by descriptor.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vmdedup.guest.content import Pages
from vmdedup.guest.linux.image import Flags, written_of
from vmdedup.host.segment import Segment
from vmdedup.image.vmlinux import Span, Vmlinux, packed_pages, read_vmlinux
from vmdedup.units import PAGE_SIZE

_BLOCK = 256
_WRITTEN = 0.34  # of the pages that a kernel writes into at all: those that it has written into when it is up


@dataclass(frozen=True)
class BuiltKernel:
    """Fills linux.image.KernelImage. file: the bzImage. Picklable into child processes."""

    pages: int
    file: Path
    address: int
    given_back_spans: tuple[Span, ...]
    own_spans: tuple[Span, ...]
    moved: tuple[int, int, int]
    packed_pages: int
    segment: Segment

    @classmethod
    def open(cls, file: Path) -> BuiltKernel:
        """Unpack it. UsageError: it can't be."""
        kernel = read_vmlinux(file)
        counts = (len(kernel.moved[0]), len(kernel.moved[1]), len(kernel.moved[2]))
        size = len(kernel.content)
        segment = Segment(size + 8 * sum(counts))
        np.frombuffer(segment.buffer, dtype=np.uint8, count=size)[:] = kernel.content
        np.frombuffer(segment.buffer, dtype=np.int64, offset=size)[:] = np.concatenate(kernel.moved)
        return cls(
            kernel.pages, file, kernel.address, kernel.given_back, kernel.own, counts, len(packed_pages(file)), segment
        )

    @property
    def given_back(self) -> Flags:
        """As KernelImage has it."""
        return self._flags(self.given_back_spans)

    @property
    def written(self) -> Flags:
        """As KernelImage has it."""
        own = self._flags(self.own_spans) & ~self.given_back
        own[own] = written_of(self.address, np.flatnonzero(own), _WRITTEN)
        return own

    def blocks(self, distance: int) -> Iterator[tuple[int, Pages]]:
        """As KernelImage has it."""
        content = self._vmlinux().relocated(distance).reshape(-1, PAGE_SIZE)
        for start in range(0, self.pages, _BLOCK):
            yield start, content[start : start + _BLOCK]

    def packed(self) -> Pages:
        """As KernelImage has it."""
        return packed_pages(self.file)

    def _vmlinux(self) -> Vmlinux:
        size = self.pages * PAGE_SIZE
        content = np.frombuffer(self.segment.buffer, dtype=np.uint8, count=size)
        places = np.frombuffer(self.segment.buffer, dtype=np.int64, offset=size)
        first, second, third = np.split(places, np.cumsum(self.moved)[:2])
        return Vmlinux(content, self.address, self.given_back_spans, self.own_spans, (first, second, third))

    def _flags(self, spans: tuple[Span, ...]) -> Flags:
        flags = np.zeros(self.pages, dtype=np.bool_)
        for start, end in spans:
            flags[start // PAGE_SIZE : -(-end // PAGE_SIZE)] = True
        return flags
