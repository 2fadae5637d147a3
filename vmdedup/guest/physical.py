"""The guest's page allocator: which pages are free, who gets which, and what a free page holds.

Pages freed last are handed out first, and pages never used come last, as a buddy allocator with per-CPU
lists does; so a guest that needs less than it has leaves the rest untouched, and untouched pages cost its
host nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from vmdedup.guest.index import Numbers
from vmdedup.units import PAGE_SIZE

if TYPE_CHECKING:
    from vmdedup.guest.memory import Memory
    from vmdedup.guest.spec import FreePages

_CLEAR_AT_ONCE = 256
BLOCK_PAGES: Final = 512  # of a block that the kernel keeps free pages in, of 2 MiB: pageblock_order


class PhysicalMemory:
    """Free pages as a stack. order: pages to hand out, the first first. policy: what a free page holds.

    left: what it held when it was freed. zero_on_free: zeros (Linux: init_on_free). zero_on_alloc: what it
    held, and zeros once it is handed out (Linux: init_on_alloc).
    """

    def __init__(self, memory: Memory, order: Numbers, policy: FreePages) -> None:
        self.memory = memory
        self.policy = policy
        self._stack: NDArray[np.int32] = np.zeros(memory.pages, dtype=np.int32)
        self._stack[: len(order)] = order[::-1]
        self.free = len(order)
        self.blocks_reported: NDArray[np.bool_] | None = None  # by guest.reporting, if there is that

    def allocate(self, count: int, overwritten: bool) -> Numbers:
        """count free pages, the caller having made sure that there are as many.

        overwritten: the caller fills them from end to end at once, so that clearing them first would show
        nowhere.
        """
        pages = self._stack[self.free - count : self.free][::-1].astype(np.int64)
        self.free -= count
        if self.blocks_reported is not None:
            blocks = pages // BLOCK_PAGES
            self.blocks_reported[blocks[blocks < len(self.blocks_reported)]] = False
        if self.policy == "zero_on_alloc" and not overwritten:
            self.clear(pages)
        return pages

    def take(self, pages: Numbers) -> None:
        """Take these free pages, for good."""
        stack = self._stack[: self.free]
        kept = stack[~np.isin(stack, pages)]
        self.free = len(kept)
        self._stack[: self.free] = kept

    def reserve(self, most: int) -> tuple[int, int]:
        """Take a run of free pages that follow each other, of at most so many, for good: its first and its length."""
        free = np.sort(self.free_pages())
        runs = np.split(free, np.flatnonzero(np.diff(free) != 1) + 1)
        longest = max(runs, key=len)[:most]
        self.take(longest)
        return (int(longest[0]), len(longest)) if len(longest) else (0, 0)

    def release(self, pages: Numbers) -> None:
        """Take pages back; the last of them is the next to be handed out."""
        if self.policy == "zero_on_free":
            self.clear(pages)
        self._stack[self.free : self.free + len(pages)] = pages
        self.free += len(pages)

    def clear(self, pages: Numbers) -> None:
        """Store zeros."""
        zeros = np.zeros((min(len(pages), _CLEAR_AT_ONCE), PAGE_SIZE), dtype=np.uint8)
        for start in range(0, len(pages), _CLEAR_AT_ONCE):
            some = pages[start : start + _CLEAR_AT_ONCE]
            self.memory.write_pages(some, zeros[: len(some)])

    def free_blocks(self) -> NDArray[np.bool_]:
        """Which whole blocks of memory are free, by number."""
        whole = self.memory.pages // BLOCK_PAGES
        free = np.bincount(self._stack[: self.free] // BLOCK_PAGES, minlength=whole)[:whole]
        blocks: NDArray[np.bool_] = free == BLOCK_PAGES
        return blocks

    def free_pages(self) -> Numbers:
        """The free pages, the next to be handed out last."""
        return self._stack[: self.free].astype(np.int64)
