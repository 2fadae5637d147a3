"""Free page reporting: what a guest's kernel knows as free goes back to the host, without being asked.

Linux reports free blocks of pageblock_order only, 2 MiB on x86, each once, until somebody takes a page of it. It waits
two seconds, then tells the host of so many blocks, and waits again: 32 at once, which is a batch, and a batch for each
512 blocks that are free. So a guest gives back 64 MiB in two seconds for each GiB that is free, and what is free in
pieces of less than 2 MiB is never given back. Source: mm/page_reporting.c, drivers/virtio/virtio_balloon.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from vmdedup.guest.physical import BLOCK_PAGES, PhysicalMemory

if TYPE_CHECKING:
    from vmdedup.guest.memory import Memory

DELAY_MS: Final = 2000.0  # PAGE_REPORTING_DELAY
BATCH: Final = 32  # blocks: PAGE_REPORTING_CAPACITY
BLOCKS_A_BATCH: Final = 16 * BATCH  # free blocks for each batch of a turn


class FreePageReporting:
    """Reports free blocks of a guest's memory. reported: pages so far."""

    def __init__(self, memory: Memory, physical: PhysicalMemory) -> None:
        self._memory = memory
        self._physical = physical
        self._physical.blocks_reported = np.zeros(memory.pages // BLOCK_PAGES, np.bool_)
        self._wait_ms = DELAY_MS
        self.reported = 0

    def step(self, ms: float) -> None:
        """Let ms milliseconds pass."""
        self._wait_ms -= ms
        while self._wait_ms <= 0:
            self._report()
            self._wait_ms += DELAY_MS

    def _report(self) -> None:
        """One turn."""
        known = self._physical.blocks_reported
        assert known is not None
        is_free = self._physical.free_blocks()
        batches = -(-int(is_free.sum()) // BLOCKS_A_BATCH)
        blocks = np.flatnonzero(is_free & ~known)[: batches * BATCH]
        if len(blocks):
            known[blocks] = True
            self._memory.discard((blocks[:, None] * BLOCK_PAGES + np.arange(BLOCK_PAGES)).ravel())
            self.reported += len(blocks) * BLOCK_PAGES
