"""Boots: what each dump holds, page by page, by number of its content; and what there is to know of the contents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmdedup.dump.base import Region
from vmdedup.errors import UsageError
from vmdedup.learn.classes import ADDRESSES, PLAIN, UNSEEN, levels, like, signatures, with_addresses
from vmdedup.learn.life import Life
from vmdedup.recording.places import Places
from vmdedup.scan.fingerprint import Hasher
from vmdedup.scan.source import Piece, Source
from vmdedup.units import PAGE_SIZE

Watch = Callable[[int, int], None]  # pages read so far, pages in all
Stop = Callable[[], bool]
ABSENT, ZERO = -1, 0
MOST_CONTENTS = (1 << 31) - 1


class StoppedError(Exception):
    """stop() said so."""


@dataclass(frozen=True)
class Boot:
    """One guest's memory. contents: by place, int32: ABSENT, ZERO, or a number from 1. life: how it changed."""

    name: str
    format: str
    contents: NDArray[np.int32]
    life: Life | None = None

    @property
    def pages(self) -> int:
        """Places, absent ones among them."""
        return len(self.contents)

    @property
    def present(self) -> int:
        """Pages that it has."""
        return int((self.contents != ABSENT).sum())

    @property
    def zero(self) -> int:
        """Pages of zeros."""
        return int((self.contents == ZERO).sum())

    @property
    def held(self) -> NDArray[np.int32]:
        """Numbers of its contents but zeros, each once, ascending."""
        found = np.unique(self.contents)
        return found[found > ZERO]


@dataclass(frozen=True)
class Contents:
    """Of every content, by number: its class, its level of compressibility, the first content that it is like.

    Row 0 is of zeros. pages: the contents themselves (n, 4096), if they were asked for.
    """

    classes: NDArray[np.uint8]
    levels: NDArray[np.uint8]
    like: NDArray[np.int32]
    pages: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.classes)


class Reader:
    """Reads boots one after the other and gives equal contents equal numbers.

    zero: the fingerprint of zeros. with_contents: keep them; takes as much memory as the dumps.
    """

    def __init__(self, hasher: Hasher, zero: bytes, with_contents: bool = False) -> None:
        self._hasher, self._zero, self._keeps = hasher, zero, with_contents
        self._numbers: dict[bytes, int] = {zero: ZERO}
        self._classes = [np.array([PLAIN], np.uint8)]
        self._levels = [np.zeros(1, np.uint8)]
        self._signatures = [np.zeros((1, 2), np.uint64)]
        self._pages = [np.zeros((1, PAGE_SIZE), np.uint8)]
        self.done = 0

    def read(self, source: Source, watch: Watch, stop: Stop, total: int, life: Life | None = None) -> Boot:
        """One dump. StoppedError: stop() said so. DumpError: it is damaged."""
        places = Places([Region(*region) for region in source.regions])
        contents = np.full(places.pages, ABSENT, np.int32)
        for piece in source.pieces():
            if stop():
                raise StoppedError
            numbers = places.of(np.asarray(piece.numbers, np.int64))
            contents[numbers] = self._hashed(piece) if not source.has_contents else self._loaded(piece)
            self.done += len(numbers)
            watch(self.done, total)
        return Boot(source.name, source.format, contents, life)

    def contents(self) -> Contents:
        """What is known of all contents read."""
        pages = np.concatenate(self._pages) if self._keeps else None
        shared = like(np.concatenate(self._signatures))
        return Contents(np.concatenate(self._classes), np.concatenate(self._levels), shared, pages)

    def _hashed(self, piece: Piece) -> NDArray[np.int32]:
        if self._keeps:
            raise UsageError("--with-contents needs contents, and exported hashes have none; learn from the dumps")
        fingerprints = piece.fingerprints(self._hasher)
        numbers, new = self._number(fingerprints)
        self._classes.append(np.full(len(new), UNSEEN, np.uint8))
        self._levels.append(np.full(len(new), 8, np.uint8))
        self._signatures.append(np.zeros((len(new), 2), np.uint64))
        return numbers

    def _loaded(self, piece: Piece) -> NDArray[np.int32]:
        loaded, times = piece.load()
        numbers, new = self._number(self._hasher.pages(loaded))
        if new:
            pages = np.frombuffer(loaded, np.uint8).reshape(-1, PAGE_SIZE)[new]
            self._classes.append(np.where(with_addresses(pages), ADDRESSES, PLAIN).astype(np.uint8))
            self._levels.append(levels(pages))
            self._signatures.append(signatures(pages))
            if self._keeps:
                self._pages.append(pages)
        return np.repeat(numbers, times) if times != 1 else numbers

    def _number(self, fingerprints: Sequence[bytes]) -> tuple[NDArray[np.int32], list[int]]:
        """The number of each, and the rows that have a new content first."""
        known = self._numbers
        before = len(known)
        numbers = [known.setdefault(each, len(known)) for each in fingerprints]
        new: list[int] = []
        for row, number in enumerate(numbers):
            if number == before + len(new):
                new.append(row)
        if len(known) > MOST_CONTENTS:
            raise UsageError("these dumps have more than 2^31 different pages; learn from fewer of them")
        return np.array(numbers, np.int32), new
