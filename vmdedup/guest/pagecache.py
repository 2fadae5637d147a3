"""The guest's page cache: which file page lies in which frame, least recently used first out.

Arrays, not objects: a guest of any size keeps 22 bytes for each page of memory, and 4 for each page of the
disk that it has ever read (in pages of the array that it has touched).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmdedup.guest.index import Numbers


class PageCache:
    """frames: guest pages. file_pages: how many pages files can have. Frame -1: not in the cache."""

    def __init__(self, frames: int, file_pages: int) -> None:
        self._slot: NDArray[np.int32] = np.zeros(file_pages, dtype=np.int32)
        self._owner: NDArray[np.int64] = np.full(frames, -1, dtype=np.int64)
        self._used: NDArray[np.int64] = np.zeros(frames, dtype=np.int64)
        self._mapped: NDArray[np.int32] = np.zeros(frames, dtype=np.int32)
        self._clock = 1
        self.size = 0
        self.evicted = 0

    def lookup(self, file_pages: Numbers) -> Numbers:
        """The frame of each file page, or -1."""
        return self._slot[file_pages].astype(np.int64) - 1

    def use(self, frames: Numbers) -> None:
        """Cached frames were used, in this order."""
        self._used[frames] = np.arange(self._clock, self._clock + len(frames))
        self._clock += len(frames)

    def insert(self, file_pages: Numbers, frames: Numbers, used: bool = True) -> None:
        """File pages that were not cached now lie in these frames, last to leave.

        used: it is not only that they might be soon, which here makes no difference.
        """
        self._slot[file_pages] = frames + 1
        self._owner[frames] = file_pages
        self.size += len(frames)
        self.use(frames)

    def evict(self, count: int, keep: Numbers) -> Numbers:
        """Forget count frames, but none of keep; fewer if there are fewer. Returns them, the first first.

        The least recently used go first, but those that a process maps only after all others.
        """
        cached = self._owner >= 0
        cached[keep] = False
        frames = self._oldest(np.flatnonzero(cached & (self._mapped == 0)), count)
        if len(frames) < count:
            mapped = self._oldest(np.flatnonzero(cached & (self._mapped > 0)), count - len(frames))
            frames = np.concatenate((frames, mapped))
        self._forget(frames)
        self.evicted += len(frames)
        return frames

    def drop(self, file_pages: Numbers) -> Numbers:
        """Forget file pages, all different, as their file is deleted. Returns the frames of those that were cached."""
        frames = self.lookup(file_pages)
        frames = frames[frames >= 0]
        self._forget(frames)
        return frames

    def _forget(self, frames: Numbers) -> None:
        self._slot[self._owner[frames]] = 0
        self._owner[frames] = -1
        self._mapped[frames] = 0
        self.size -= len(frames)

    def _oldest(self, frames: Numbers, count: int) -> Numbers:
        """The count least recently used of the frames, in that order."""
        if count < len(frames):
            frames = frames[np.argpartition(self._used[frames], count)[:count]]
        return frames[np.argsort(self._used[frames])]

    def map(self, frames: Numbers) -> None:
        """One more process maps each of the frames, which must differ."""
        self._mapped[frames] += 1

    def unmap(self, file_pages: Numbers) -> None:
        """One process less maps each of the file pages, which must differ; evicted ones are not mapped."""
        frames = self.lookup(file_pages)
        frames = frames[frames >= 0]
        self._mapped[frames] = np.maximum(self._mapped[frames] - 1, 0)

    def unmapped(self) -> int:
        """How many cached pages nobody maps."""
        return int(np.count_nonzero((self._owner >= 0) & (self._mapped == 0)))

    def contents(self) -> tuple[Numbers, Numbers]:
        """(file pages, frames) of all that is cached."""
        frames = np.flatnonzero(self._owner >= 0)
        return self._owner[frames], frames
