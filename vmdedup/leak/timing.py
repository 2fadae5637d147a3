"""How long a guest's access takes, from what the host had to do for it, by the price list of policy.work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from vmdedup.host.space import Memory
from vmdedup.policy.work import GUEST_PRICES_NS

# A read, or a write to a page of one's own: 54 cycles at 2.8 GHz, measured by zolutal (2023), "KSM write timing".
PRIVATE_NS: Final = 19.3
# What an access can cause, by the counter of the address space that shows it.
_CAUSED: Final[Mapping[str, str]] = {
    "cow_ksm": "cow_break",
    "zero_cow": "cow_break",
    "cow_fork": "cow_break",
    "unpatched": "unpatch",
    "uncompressed": "uncompress",
    "swapped_in": "swap_in",
}


class AccessTimer:
    """Writes one byte into pages of a guest, or reads one, and says how long each took, in nanoseconds.

    noise: standard deviation of what is added to each, ns; never below zero in the end. A page that is made present
    for the first time costs no more than one of one's own here, so it tells nothing. caused: what accesses had the host
    do so far, copies and rebuilt pages.
    """

    def __init__(self, memory: Memory, noise: float, random: np.random.Generator) -> None:
        self._memory = memory
        self._noise = noise
        self._random = random
        self.caused = 0

    def write(self, page: int) -> float:
        """Store into a page."""
        before = self._counters()
        self._memory.write(page, b"!")
        return self._time(before)

    def read(self, page: int) -> float:
        """Load from a page."""
        before = self._counters()
        self._memory.touch(np.array([page]))
        return self._time(before)

    def _time(self, before: dict[str, int]) -> float:
        after = self._counters()
        done = {name: after[name] - before[name] for name in _CAUSED}
        self.caused += sum(done.values())
        price = sum(times * GUEST_PRICES_NS[_CAUSED[name]] for name, times in done.items())
        return max(0.0, PRIVATE_NS + price + self._noise * float(self._random.standard_normal()))

    def _counters(self) -> dict[str, int]:
        return {name: self._memory.counter(name) for name in _CAUSED}
