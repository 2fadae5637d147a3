"""Dumps as their readers give them, and the memory of live processes, as what is scanned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import cast

import numpy as np
from numpy.typing import NDArray

from vmdedup.dump.base import Block, Dump
from vmdedup.scan.source import Piece, Source


class DumpSource(Source):
    """An opened dump, which is closed with it."""

    def __init__(self, dump: Dump) -> None:
        self._dump = dump
        self.name, self.format = dump.name, dump.format
        self.regions = [(region.name, region.first, region.pages) for region in dump.regions]
        self.present, self.reserved = dump.present, dump.reserved
        self.is_live = dump.is_live

    @property
    def pages(self) -> int:
        """As the dump counts them."""
        return self._dump.pages

    def frames(self) -> NDArray[np.uint64] | None:
        """As the dump has them."""
        return self._dump.frames()

    def pieces(self) -> Iterator[Piece]:
        """A piece for each block."""
        for block in self._dump.blocks():
            yield Piece(block.region, cast("Sequence[int]", block.numbers), partial(_load, block))

    def close(self) -> None:
        """Close the dump."""
        self._dump.close()


def _load(block: Block) -> tuple[memoryview, int]:
    """A block's bytes; one page of them if it is the same page many times."""
    pages = block.load()
    if len(pages) and pages.strides[0] == 0:
        return pages[0].data, len(pages)
    return np.ascontiguousarray(pages).reshape(-1).data, 1
