"""Dumps that lie in this process's memory, and recordings made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from vmdedup.dump.base import Block, Dump, Region
from vmdedup.recording.writer import Writer
from vmdedup.units import PAGE_SIZE

Pages = Mapping[int, bytes]  # by guest page number


class MemoryDump(Dump):
    """pages: the present ones. block: at most so many pages in a block."""

    format = "memory"

    def __init__(self, regions: Sequence[Region], pages: Pages, block: int = 7) -> None:
        self.name = "memory"
        self.regions = tuple(regions)
        self._pages = dict(pages)
        self._block = block

    def blocks(self) -> Iterator[Block]:
        for number, region in enumerate(self.regions):
            inside = sorted(page for page in self._pages if region.first <= page < region.first + region.pages)
            for start in range(0, len(inside), self._block):
                part = inside[start : start + self._block]
                joined = b"".join(self._pages[page] for page in part)
                rows = np.frombuffer(joined, np.uint8).reshape(-1, PAGE_SIZE)
                yield Block(number, np.array(part, np.int64), lambda rows=rows: rows)  # type: ignore[misc]

    @property
    def present(self) -> int:
        return len(self._pages)

    def close(self) -> None:
        self.regions = ()


def page(content: int) -> bytes:
    """A page that a number stands for; 0: all zero."""
    return content.to_bytes(8, "little") * (PAGE_SIZE // 8)


def digest(pages: Pages) -> str:
    """The digest of a memory, from its definition."""
    total = hashlib.sha256()
    for number in sorted(pages):
        total.update(number.to_bytes(8, "little") + hashlib.blake2b(pages[number], digest_size=16).digest())
    return total.hexdigest()


def write_recording(
    path: Path, lives: Mapping[str, Sequence[Pages]], pages: int, interval_ns: int = 1_000_000_000
) -> list[int]:
    """A recording of guests of one region each, from page 0. Returns the file's size after each step."""
    sizes = []
    with Writer(path, created=0.0) as writer:
        numbers = [writer.add_guest(name, "test") for name in lives]
        for step in range(max(map(len, lives.values()))):
            for number, life in zip(numbers, lives.values(), strict=True):
                if step < len(life):
                    writer.snapshot(number, MemoryDump([Region("ram", 0, pages)], life[step]))
            writer.end_step(step * interval_ns)
            sizes.append(writer.size)
    return sizes
