"""Anonymous memory of a process: pages that no file backs, each filled from a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import GuestError
from vmdedup.guest.content import Pages
from vmdedup.guest.index import Numbers
from vmdedup.guest.seeds import Words

if TYPE_CHECKING:
    from vmdedup.guest.memory import Memory

Make = Callable[[Words], Pages]
CHUNK = 256


class Anonymous:
    """Pages 0, 1, … of one mapping. frames: the guest page behind each. keys: what each was last filled from.

    make: from keys (n,) to contents (n, 4096). whole: which pages still hold exactly what their key makes.
    """

    def __init__(self, memory: Memory, make: Make) -> None:
        self._memory = memory
        self._make = make
        self.frames: Numbers = np.empty(0, dtype=np.int64)
        self.keys: Words = np.empty(0, dtype=np.uint64)
        self.whole: NDArray[np.bool_] = np.empty(0, dtype=np.bool_)

    def __len__(self) -> int:
        return len(self.frames)

    def grow(self, frames: Numbers, content_keys: Words) -> None:
        """Append pages in these frames and fill them."""
        first = len(self.frames)
        self.frames = np.concatenate((self.frames, frames))
        self.keys = np.concatenate((self.keys, content_keys))
        self.whole = np.concatenate((self.whole, np.ones(len(frames), dtype=np.bool_)))
        self._store(np.arange(first, len(self.frames)))

    def rewrite(self, which: Numbers, content_keys: Words) -> None:
        """Fill pages, all different, from new keys."""
        self.keys[which] = content_keys
        self.whole[which] = True
        self._store(which)

    def poke(self, which: Numbers, places: Numbers, data: NDArray[np.uint8]) -> None:
        """Store a few bytes into each of some pages. places: (n,) first byte; data: (n, length)."""
        self.whole[which] = False
        self._memory.write_bytes(self.frames[which], places, data)

    def touch(self, which: Numbers) -> None:
        """Read from some pages."""
        self._memory.touch(self.frames[which])

    def shrink(self, count: int) -> Numbers:
        """Give up the last count pages. Returns their frames, which the caller releases."""
        keep = max(0, len(self.frames) - count)
        frames = self.frames[keep:]
        self.frames, self.keys, self.whole = self.frames[:keep], self.keys[:keep], self.whole[:keep]
        return frames

    def verify(self) -> int:
        """Read every whole page back. Returns how many. Raises GuestError if one holds anything else."""
        whole = np.flatnonzero(self.whole)
        for start in range(0, len(whole), CHUNK):
            some = whole[start : start + CHUNK]
            wrong = (self._memory.read_pages(self.frames[some]) != self._make(self.keys[some])).any(axis=1)
            if wrong.any():
                page = int(self.frames[some[np.flatnonzero(wrong)[0]]])
                raise GuestError(f"page {page} of anonymous memory does not hold what the guest stored in it")
        return len(whole)

    def _store(self, which: Numbers) -> None:
        for start in range(0, len(which), CHUNK):
            some = which[start : start + CHUNK]
            self._memory.write_pages(self.frames[some], self._make(self.keys[some]))
