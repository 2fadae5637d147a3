"""Small stores and reads, sprinkled over the heaps of several processes: those of a tick in one step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from vmdedup.guest.draws import draw_pages, draw_stores, to_places

if TYPE_CHECKING:
    from vmdedup.guest.anonymous import Anonymous
    from vmdedup.guest.index import Numbers
    from vmdedup.guest.memory import Memory
    from vmdedup.guest.seeds import Stream

_FEW: Final = 256  # pages that are sorted as they are drawn


class Sprinkler:
    """Draws from a stream where small stores and reads go in some heaps, and does them."""

    def __init__(self, memory: Memory, stream: Stream) -> None:
        self._memory, self._stream = memory, stream
        self._seed = np.uint64(stream.seed)
        self._seen: list[Numbers] = []
        self._ends: dict[float, Numbers] = {}

    def stores(self, heaps: Sequence[Anonymous], count: int, share: float) -> None:
        """Store count words, anywhere in the first share of each heap, of a page at least."""
        self._look(heaps)
        if not count or not self._seen:
            return
        ends = self._sums(share)
        pages, places, words = self._pages(ends, count), np.empty(count, np.int64), np.empty((count, 1), np.uint64)
        draw_stores(self._seed, self._stream.drawn, ends, pages, places, words)
        self._stream.drawn += 2 * count
        to_places(ends, self._starts, pages)
        self._whole[pages] = False
        self._memory.write_bytes(self._frames[pages], places, words.view(np.uint8))

    def reads(self, heaps: Sequence[Anonymous], count: int) -> None:
        """Read count pages, anywhere in the heaps."""
        self._look(heaps)
        if count and self._seen:  # all of each heap is taken, so places are what was drawn
            self._memory.touch(self._frames[self._pages(self._sums(1.0), count)])

    def _pages(self, ends: Numbers, count: int) -> Numbers:
        """Drawn pages, counted through the heaps, sorted."""
        if count > _FEW:
            return np.sort(self._stream.integers(count, int(ends[-1])))
        pages = np.empty(count, dtype=np.int64)
        draw_pages(self._seed, self._stream.drawn, ends, pages)
        self._stream.drawn += count
        return pages

    def _look(self, heaps: Sequence[Anonymous]) -> None:
        """List all pages of heaps anew if one is not as it was. Heaps have parts of one list of what is whole, then."""
        now = [heap for heap in heaps if len(heap)]
        if len(now) == len(self._seen) and all(heap.frames is seen for heap, seen in zip(now, self._seen, strict=True)):
            return
        self._seen, self._ends = [heap.frames for heap in now], {}
        if not now:
            return
        cuts = np.cumsum([len(heap) for heap in now], dtype=np.int64)
        self._starts = np.concatenate(([0], cuts[:-1]))
        self._frames, self._whole = np.concatenate(self._seen), np.concatenate([heap.whole for heap in now])
        for heap, part in zip(now, np.split(self._whole, cuts[:-1]), strict=True):
            heap.whole = part

    def _sums(self, share: float) -> Numbers:
        """Sums of the sizes of what is taken of each heap."""
        if share not in self._ends:
            sizes = [max(1, int(share * len(frames))) for frames in self._seen]
            self._ends[share] = np.cumsum(sizes, dtype=np.int64)
        return self._ends[share]
