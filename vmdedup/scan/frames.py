"""What live processes share already as one frame, by fork, by files, by KSM, and what could be saved beyond that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmdedup.dump.pagemap import ANONYMOUS, FILE, FRAMES, KIND, MERGED, Words
from vmdedup.scan.source import Source
from vmdedup.scan.stream import Stream
from vmdedup.units import PAGE_SIZE

KINDS = {"fork": ANONYMOUS, "file": FILE, "ksm": MERGED}
NO_FRAME = 1 << 55  # from here on: pages of dumps, each a frame of its own
PART_PAGES = 1 << 20  # fingerprints that are in memory at once, about
MIB = 1 << 20

Figures = dict[str, Any]


class Frames:
    """The frames behind the pages that were read of all sources. None of them is known if any process hides its own."""

    def __init__(self, sources: Sequence[Source], stream: Stream) -> None:
        self._stream = stream
        self._live = [source.is_live for source in sources]
        self._frames: list[Words] = []
        self.known = any(self._live)
        before = NO_FRAME
        for source, count in zip(sources, stream.counts, strict=True):
            found = source.frames() if source.is_live else np.arange(before, before + count, dtype=np.uint64)
            before += count
            self.known = self.known and found is not None
            self._frames.append(np.zeros(0, np.uint64) if found is None else found[:count])

    def total(self) -> Figures | None:
        """Of all sources together; None: nothing is known."""
        return self._count(range(len(self._live))) if self.known else None

    def of(self, dump: int) -> Figures | None:
        """Of one source; None: it is not live, or nothing is known."""
        return self._count([dump]) if self.known and self._live[dump] else None

    def _count(self, dumps: Sequence[int]) -> Figures:
        words = np.concatenate([self._frames[dump] for dump in dumps])
        kinds = (words >> np.uint64(KIND)).astype(np.uint8)
        is_first = np.zeros(len(words), np.bool_)
        is_first[np.unique(words & FRAMES, return_index=True)[1]] = True
        shared = {name: int(np.count_nonzero((kinds == kind) & ~is_first)) for name, kind in KINDS.items()}
        frames, anonymous = int(is_first.sum()), is_first & (kinds != FILE)
        left = frames - self._distinct(dumps, is_first)
        left_anonymous = int(anonymous.sum()) - self._distinct(dumps, anonymous)
        found = {f"sharing_{name}": pages for name, pages in shared.items()}
        found |= {"sharing_already": len(words) - frames, "left": left, "left_anonymous": left_anonymous}
        return {"frames": frames} | found | {f"{name}_mib": pages * PAGE_SIZE / MIB for name, pages in found.items()}

    def _distinct(self, dumps: Sequence[int], wanted: NDArray[np.bool_]) -> int:
        """How many different contents these pages have."""
        parts = 1
        while parts * PART_PAGES < len(wanted):
            parts *= 2
        return sum(self._distinct_of(dumps, wanted, np.uint64(parts - 1), part) for part in range(parts))

    def _distinct_of(self, dumps: Sequence[int], wanted: NDArray[np.bool_], mask: np.uint64, part: int) -> int:
        found = np.concatenate([np.zeros((0, 2), np.uint64), *self._some(dumps, wanted, mask, part)])
        found = found[np.lexsort((found[:, 1], found[:, 0]))]
        return len(found) and 1 + int(np.count_nonzero((found[1:] != found[:-1]).any(axis=1)))

    def _some(
        self, dumps: Sequence[int], wanted: NDArray[np.bool_], mask: np.uint64, part: int
    ) -> Iterator[NDArray[np.uint64]]:
        at = 0
        for dump in dumps:
            for _, chunk in self._stream.chunks(dump):
                halves = np.frombuffer(chunk, np.uint64).reshape(-1, 2)
                yield halves[wanted[at : at + len(halves)] & ((halves[:, 0] & mask) == part)]
                at += len(halves)
