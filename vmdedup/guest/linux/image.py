"""A kernel image, whoever made it, and one that is made up: as large as Debian's, and of the same parts.

    text │ gap │ read-only data │ gap │ data │ for the start │ zeros at first (bss), gap │

What is not kept once the kernel runs is given back. Shares of parts are those of Debian 12's kernel 6.1 for clouds,
read from its file by image.vmlinux; which pages of data a running kernel has written into, from dumps of guests.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vmdedup.guest.content import Pages, heap_pages, random_pages
from vmdedup.guest.index import Numbers
from vmdedup.guest.mixes import IMAGE_MIX
from vmdedup.guest.seeds import below, fractions, keys, split_seed
from vmdedup.units import PAGE_SIZE

Flags = NDArray[np.bool_]

FULL_PAGES = 11_776  # of Debian's
_BLOCK = 256
_PACKED = 3_460 / FULL_PAGES
_POISON = 0xCC
_WORDS = 17  # of a page of text, that hold an address
# Each part up to which share of the image: kept; what share of it is poison, holds addresses, is written, is zeros.
_PARTS = (
    (0.305, True, 0.28, 0.70, 0.0, 0.0),
    (0.348, False, 0.0, 0.0, 0.0, 0.0),
    (0.525, True, 0.0, 0.02, 0.0, 0.0),
    (0.565, False, 0.0, 0.0, 0.0, 0.0),
    (0.698, True, 0.0, 0.0, 0.24, 0.12),
    (0.754, False, 0.0, 0.0, 0.0, 0.0),
    (0.874, True, 0.0, 0.0, 0.47, 0.53),
    (1.0, False, 0.0, 0.0, 0.0, 0.0),
)


class KernelImage(Protocol):
    """A kernel image. pages: with those given back. given_back, written: (pages,), of those kept."""

    @property
    def pages(self) -> int:
        """How many."""

    @property
    def given_back(self) -> Flags:
        """Pages that the kernel does not keep once it runs."""

    @property
    def written(self) -> Flags:
        """Pages that a running kernel has written into."""

    def blocks(self, distance: int) -> Iterator[tuple[int, Pages]]:
        """(number of the first page, contents) of all pages, moved by so many bytes."""

    @property
    def packed_pages(self) -> int:
        """Pages of packed()."""

    def packed(self) -> Pages:
        """The file that the boot loader has put into memory, from which the kernel unpacked itself."""


def written_of(seed: int, pages: Numbers, share: float) -> Flags:
    """Which of the pages a running kernel has written into: the same ones at every boot."""
    return below(keys(split_seed(seed, "written"), pages), share)


@dataclass(frozen=True)
class MadeKernel:
    """An image made from the seed of a release: another release, another kernel."""

    seed: int
    pages: int

    @cached_property
    def _draws(self) -> NDArray[np.float64]:
        return fractions(keys(split_seed(self.seed, "parts"), np.arange(self.pages)))

    @cached_property
    def _part(self) -> Numbers:
        ends = [end for end, *_ in _PARTS]
        places = (np.arange(self.pages) + 0.5) / self.pages
        return np.searchsorted(ends, places, side="right").astype(np.int64)

    def _shares(self, column: int) -> NDArray[np.float64]:
        return np.array([part[column] for part in _PARTS])[self._part]

    @property
    def given_back(self) -> Flags:
        """As KernelImage has it."""
        kept: Flags = self._shares(1) > 0
        return ~kept

    @property
    def written(self) -> Flags:
        """As KernelImage has it."""
        chosen: Flags = self._draws < self._shares(4)
        return chosen

    def blocks(self, distance: int) -> Iterator[tuple[int, Pages]]:
        """As KernelImage has it."""
        poison, addresses, zeros = self._shares(2), self._shares(3), self._shares(5)
        for start in range(0, self.pages, _BLOCK):
            numbers = np.arange(start, min(start + _BLOCK, self.pages))
            content = heap_pages(keys(self.seed, numbers), IMAGE_MIX)
            draws = self._draws[numbers]
            moved = numbers[(draws >= poison[numbers]) & (draws < poison[numbers] + addresses[numbers])]
            content[moved - start] = self._moved(content[moved - start], moved, distance)
            content[draws < poison[numbers]] = _POISON
            content[draws >= 1.0 - zeros[numbers]] = 0
            yield start, content

    @property
    def packed_pages(self) -> int:
        """As KernelImage has it."""
        return int(_PACKED * self.pages)

    def packed(self) -> Pages:
        """As KernelImage has it."""
        return random_pages(keys(split_seed(self.seed, "packed"), np.arange(self.packed_pages)))

    def _moved(self, content: Pages, numbers: Numbers, distance: int) -> Pages:
        words = content.view(np.uint32)
        draws = keys(split_seed(self.seed, "addresses"), numbers[:, None] * _WORDS + np.arange(_WORDS))
        places = (draws % np.uint64(PAGE_SIZE // 4)).astype(np.int64)
        rows = np.arange(len(numbers))[:, None]
        words[rows, places] += np.uint32(distance & 0xFFFF_FFFF)
        return words.view(np.uint8)
