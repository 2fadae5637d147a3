"""The page cache as Linux keeps it: two lists, and what is known of pages that had to leave.

A page that is read is put at the head of the inactive list; read again there, it moves to the active one. Pages leave
from the tail of the inactive list. The active list gives pages back to it while it is the longer one, and, for each
share of the inactive list that is looked at, as large a share of its own whenever pages that had left were wanted
again since. Such a page goes to the active list at once if fewer have left meanwhile than that list holds. Source:
Linux's documentation of page reclaim (Documentation/mm/page_reclaim, workingset detection); flows as /proc/vmstat of
real file servers has them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmdedup.guest.index import Numbers
from vmdedup.guest.pagecache import PageCache

_NEVER = -(1 << 40)


class TwoLists(PageCache):
    """As PageCache, but for which pages leave. A frame's place in its list is the moment at which it came there."""

    def __init__(self, frames: int, file_pages: int) -> None:
        super().__init__(frames, file_pages)
        self._active: NDArray[np.bool_] = np.zeros(frames, dtype=np.bool_)
        self._referenced: NDArray[np.bool_] = np.zeros(frames, dtype=np.bool_)
        self._left_at: NDArray[np.int64] = np.full(file_pages, _NEVER, dtype=np.int64)
        self._age = 0  # pages that have left, or moved to the active list
        self._wanted_again = False

    def use(self, frames: Numbers) -> None:
        """Cached frames were used, in this order: once more moves them to the active list."""
        again = frames[self._referenced[frames] & ~self._active[frames]]
        self._referenced[frames] = True
        self._activate(again)

    def insert(self, file_pages: Numbers, frames: Numbers, used: bool = True) -> None:
        """File pages that were not cached now lie in these frames. used: it is not only that they might be soon."""
        soon = self._age - self._left_at[file_pages] <= np.count_nonzero(self._active)
        super().insert(file_pages, frames, used)
        self._place(frames)
        self._referenced[frames] = used
        self._left_at[file_pages] = _NEVER
        self._activate(frames[soon])
        self._wanted_again |= bool(soon.any())

    def evict(self, count: int, keep: Numbers) -> Numbers:
        """Forget count frames, but none of keep; fewer if there are fewer. Returns them, the first first.

        That a process maps them is no reason to stay: what it uses of them is used.
        """
        free = self._owner >= 0
        free[keep] = False
        self._deactivate(count, free)
        frames = self._oldest(np.flatnonzero(free & ~self._active), count)
        self._left_at[self._owner[frames]] = self._age + np.arange(len(frames))
        self._age += len(frames)
        self._forget(frames)
        self.evicted += len(frames)
        return frames

    def _activate(self, frames: Numbers) -> None:
        self._active[frames] = True
        self._referenced[frames] = False
        self._place(frames)
        self._age += len(frames)

    def _place(self, frames: Numbers) -> None:
        """At the head of their list, one after the other."""
        self._used[frames] = np.arange(self._clock, self._clock + len(frames))
        self._clock += len(frames)

    def _deactivate(self, count: int, free: NDArray[np.bool_]) -> None:
        """Move pages to the inactive list, before count of it are looked at. What was used of them is known still."""
        active, inactive = (int(np.count_nonzero(free & which)) for which in (self._active, ~self._active))
        share = count * active // max(1, inactive) if self._wanted_again else 0
        evened = (active - inactive + count + 1) // 2
        self._wanted_again = False
        some = self._oldest(np.flatnonzero(free & self._active), min(active, max(share, evened, count - inactive, 0)))
        self._active[some] = False
        self._place(some)

    def _forget(self, frames: Numbers) -> None:
        super()._forget(frames)
        self._active[frames] = False
        self._referenced[frames] = False
