"""The emulated twin of real processes: a host with the same pages, in the order in which ksmd sees them.

Huge pages are huge pages there, too, whole or what is left of them; guests that stand still get no new ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vmdedup.closing import Closing
from vmdedup.host.layout import CTL_THP, FRAME_MASK, FRAME_SHIFT, HUGE, PRESENT
from vmdedup.host.memory import Host
from vmdedup.host.space import Memory
from vmdedup.host.thp import HUGE_PAGES, THP_MADVISE, THP_NEVER
from vmdedup.ksm.ksmd import Ksmd
from vmdedup.ksm.profile import Profile
from vmdedup.live.memory.blocks import Blocks, blocks_of
from vmdedup.live.memory.guest import VisiblePages


class Twin(Closing):
    """One host and its ksmd, in this process, for processes in the order of ksmd's list. A context manager."""

    def __init__(self, guests: Sequence[VisiblePages], knobs: Mapping[str, str], kernel: Profile) -> None:
        """Copy the pages as they are now; nobody may store to them meanwhile. knobs: tunables, as text.

        HostError: this machine has no memory for the copy. GuestError: a process is gone.
        """
        blocks = [blocks_of(guest) for guest in guests]
        pages = sum(max(HUGE_PAGES, each.pages) for each in blocks)
        self._host = Host.create(pages, mms=len(guests) + 1)
        try:
            self._ksmd = Ksmd(self._host, kernel)
            for knob, value in knobs.items():
                self._ksmd.set(knob, value)
            self._memories = [self._enter(*each) for each in zip(guests, blocks, strict=True)]
        except BaseException:
            self._host.close()
            raise

    def _enter(self, guest: VisiblePages, blocks: Blocks) -> Memory:
        memory = self._host.add(max(HUGE_PAGES, blocks.pages), str(guest.pid))
        self._host.arrays.ctl[CTL_THP] = THP_MADVISE
        for block in blocks.with_huge.tolist():
            _place_huge(memory, block, blocks)
        self._host.arrays.ctl[CTL_THP] = THP_NEVER
        for first, pages in guest.blocks():
            memory.write_pages(blocks.places[first : first + len(pages)], pages)
        self._ksmd.enter(memory.mm)
        return memory

    def full_scan(self) -> None:
        """One full scan of ksmd."""
        self._ksmd.full_scan()

    def counters(self) -> dict[str, Any]:
        """The counters of /sys/kernel/mm/ksm."""
        return dict(self._ksmd.counters())

    def guest_counters(self) -> list[dict[str, int]]:
        """The figures of /proc/PID/ksm_stat of each process, in the order given."""
        return [self._ksmd.ksm_stat(memory.mm) for memory in self._memories]

    def memory_figures(self) -> list[dict[str, int]]:
        """What each process has, in the order given: as live.scripts.verify counts it of the real one."""
        return [self._figures(memory) for memory in self._memories]

    def _figures(self, memory: Memory) -> dict[str, int]:
        frames = (memory.entries[memory.entries & PRESENT != 0] >> FRAME_SHIFT) & FRAME_MASK
        frames = frames[frames != 0]
        return {"visible_pages": len(frames), "in_huge_pages": int(np.count_nonzero(self._host.arrays.folios[frames]))}

    def close(self) -> None:
        """Give the memory back."""
        self._host.close()


def _place_huge(memory: Memory, block: int, blocks: Blocks) -> None:
    """Have a huge page of zeros in a block, and only those of its pages that are still mapped."""
    pages = np.arange(block * HUGE_PAGES, (block + 1) * HUGE_PAGES)
    memory.advise_huge(int(pages[0]), int(pages[-1]), HUGE)
    memory.write(int(pages[0]), bytes(1))
    here = slice(*np.searchsorted(blocks.places, [pages[0], pages[-1] + 1]))
    memory.discard(np.setdiff1d(pages, blocks.places[here][blocks.huge[here]], assume_unique=True))
