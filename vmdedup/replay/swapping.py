"""Swap as scripts meet it: a device, a memory cgroup that is reclaimed from, MADV_PAGEOUT."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from vmdedup.errors import RefusedError
from vmdedup.host.layout import CTL_SWAP, PRESENT, SWAP_OFF
from vmdedup.host.memory import Host
from vmdedup.host.rebuild import frames_behind
from vmdedup.host.space import Memory
from vmdedup.host.swap import empty_cache, swap_off, swap_on, swap_out
from vmdedup.ksm.profile import Profile
from vmdedup.replay.steps import DISK, ZRAM
from vmdedup.units import PAGE_SIZE

GONE, CACHED, LEFT = "gone", "cached", "left"


class Swapping:
    """The swap of a script's machine. What is paged out to a disk stays in the swap cache until something is reclaimed.

    That is where a kernel has it while it is written; nobody knows when it will be gone, but that reclaiming frees it.
    zram is as fast as memory, and nothing stays.

    timing: what is found after a reclaim from a cgroup, which kernels answer in several ways on one script: GONE, all
    is out, as most often; CACHED, all is in the swap cache, and what is there can be mapped again; LEFT, nothing was
    taken.
    """

    def __init__(self, host: Host, profile: Profile, unfound: Callable[[], Sequence[int]]) -> None:
        """unfound: entries that are not found from the KSM frame that they map, and so keep it."""
        self._host = host
        self._unfound = unfound
        self._profile = profile
        self._device = DISK
        self.timing = GONE
        self.members: set[str] = set()  # of the cgroup

    def on(self, device: str) -> None:
        """Have swap. Where there is some, that is left."""
        if self._host.arrays.ctl[CTL_SWAP] == SWAP_OFF:
            swap_on(self._host, "zram" if device == ZRAM else "disk")
            self._device = device

    def off(self) -> None:
        """Bring everything back, and have none."""
        swap_off(self._host)

    def page_out(self, memory: Memory, lo: int, hi: int) -> None:
        """madvise(MADV_PAGEOUT): what nobody else maps."""
        first = int(self._host.arrays.mms[memory.mm]["first"])
        entries = np.arange(first + lo, first + hi + 1)
        swap_out(self._host, entries, own=True, stays=self._device == DISK, unfound=self._unfound())

    def reclaim(self, memories: Iterable[Memory], size: int) -> None:
        """Write to memory.reclaim: frames of these processes go, those of the first ones first, and leave the cache."""
        if not self._profile.has("memory.reclaim"):
            raise RefusedError("memory.reclaim", "ENOENT")
        chosen: list[int] = []
        seen: set[int] = set()
        for memory in memories:
            first = int(self._host.arrays.mms[memory.mm]["first"])
            entries = memory.entries
            frames = np.where(entries & PRESENT != 0, frames_behind(entries), 0)
            for page in np.flatnonzero(frames).tolist():
                if int(frames[page]) not in seen and len(seen) < size // PAGE_SIZE:
                    seen.add(int(frames[page]))
                    chosen.append(first + page)
        if self.timing != LEFT and self._host.arrays.ctl[CTL_SWAP] != SWAP_OFF:
            swap_out(self._host, np.array(chosen, np.int64), stays=self.timing == CACHED, unfound=self._unfound())
        if self.timing == GONE:
            empty_cache(self._host)
