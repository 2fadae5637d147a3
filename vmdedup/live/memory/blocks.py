"""A process's pages by two megabytes of its addresses: where each lies, and which two megabytes are in a huge page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.thp import HUGE_PAGES
from vmdedup.live.memory.guest import THP, VisiblePages


@dataclass(frozen=True)
class Blocks:
    """Those two megabytes that hold visible pages, packed one behind the other; a page's place is kept inside them.

    places: of each visible page, int64 (n,), ascending. huge: bool (n,), whether it is part of its block's huge page.
    A huge page may be there in part only: what was discarded of it, other pages may lie at. Folios of other sizes
    (mTHP) count as pages.
    """

    places: NDArray[np.int64]
    huge: NDArray[np.bool_]

    @property
    def pages(self) -> int:
        """Pages that all blocks have room for."""
        return int(self.places[-1] // HUGE_PAGES + 1) * HUGE_PAGES if len(self.places) else 0

    @property
    def with_huge(self) -> NDArray[np.int64]:
        """Numbers of the blocks in which a huge page lies, ascending, int64."""
        return np.unique(self.places[self.huge] // HUGE_PAGES)


def blocks_of(seen: VisiblePages) -> Blocks:
    """Sort out a process's pages. A huge page is where pages of it lie at their places of one aligned run of frames."""
    _, block = np.unique(seen.numbers // HUGE_PAGES, return_inverse=True)
    places = block.astype(np.int64) * HUGE_PAGES + seen.numbers % HUGE_PAGES
    frames = seen.frames.astype(np.int64)
    huge = ((seen.flags & THP) != 0) & (frames % HUGE_PAGES == seen.numbers % HUGE_PAGES)
    return Blocks(places, huge)
