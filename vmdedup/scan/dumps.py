"""Dumps as their readers give them, and the memory of live processes, as what is scanned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import cast

import numpy as np

from vmdedup.dump.base import Block, Dump
from vmdedup.scan.source import Piece, Source


class DumpSource(Source):
    """An opened dump, which is closed with it."""

    def __init__(self, dump: Dump) -> None:
        self._dump = dump
        self.name, self.format = dump.name, dump.format
        self.regions = [(region.name, region.first, region.pages) for region in dump.regions]
        self.present = dump.present

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
