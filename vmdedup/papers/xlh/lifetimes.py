"""How long pages stay equal to others: an observer in a policy's place, which shares nothing.

A life of a page begins when its content is that of another page, too, and ends when either changes. What is shorter
than the interval at which it looks, it does not see. Miller et al., XLH, USENIX ATC 2013, ask for the same of a build.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.layout import FRAME_MASK, FRAME_SHIFT, PRESENT
from vmdedup.host.memory import Host
from vmdedup.ksm.sysfs import Tunable
from vmdedup.policy.base import Policy

_TIMES = (
    Tunable("interval", 500, "how often it looks at all memory", "ms", low=1),
    Tunable("short", 4500, "lives shorter than this are lives_short", "ms", low=1),
    Tunable("long", 45_000, "lives at least as long are lives_long, at once", "ms", low=1),
    Tunable("until", 1 << 30, "lives that begin later are not counted, so that none counted is cut off", "ms"),
)
_NEVER = -1


class Lifetimes(Policy):
    """Counts lives of equal pages by their length. Named by this file, as a policy of one's own is."""

    name: ClassVar[str] = "lifetimes"
    source: ClassVar[str] = "an observer"
    tunables: ClassVar[Mapping[str, Tunable]] = {tunable.name: tunable for tunable in _TIMES}
    keeps_budget: ClassVar[bool] = False

    def __init__(self, host: Host, seed: int = 0) -> None:
        super().__init__(host, seed)
        entries = len(host.arrays.pte)
        self._hashes: NDArray[np.int64] = np.zeros(entries, np.int64)
        self._since: NDArray[np.int64] = np.full(entries, _NEVER, np.int64)  # ms; counted at most once each life
        self._counted: NDArray[np.bool_] = np.zeros(entries, np.bool_)
        self._due = 0
        self._lives = {"lives_short": 0, "lives_between": 0, "lives_long": 0}

    def enter(self, mm: int) -> None:
        """Every page is looked at."""

    def exit(self, mm: int) -> None:
        """Its record may be used again."""
        self.host.release(mm)

    def scan(self, pages: int) -> int:
        """Look at all memory, if it is time. Returns no pages: it merges none, and is not to be billed."""
        if self.now_ms >= self._due:
            self._due = self.now_ms + self.get("interval")
            self._look()
        return 0

    def counters(self) -> dict[str, int]:
        """Lives by length."""
        return {"full_scans": 0, "pages_scanned": 0, "pages_shared": 0, "pages_sharing": 0, **self._lives}

    def _look(self) -> None:
        hashes, equal = self._contents()
        goes_on = equal & (self._since != _NEVER) & (hashes == self._hashes)
        lived = self.now_ms - self._since
        begun = (self._since != _NEVER) & (self._since <= self.get("until")) & ~self._counted
        long = begun & (lived >= self.get("long"))
        ended = begun & ~long & ~goes_on
        short = ended & (lived < self.get("short"))
        for name, which in (("lives_short", short), ("lives_between", ended & ~short), ("lives_long", long)):
            self._lives[name] += int(which.sum())
        self._counted = (self._counted | long) & goes_on
        self._since = np.where(goes_on, self._since, np.where(equal, self.now_ms, _NEVER))
        self._hashes = hashes

    def _contents(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The hash of each page, 0 where there is none, and which pages are equal to another."""
        entries = self.host.arrays.pte
        present = np.flatnonzero(entries & PRESENT)
        frames = (entries[present] >> FRAME_SHIFT) & FRAME_MASK
        order, place = np.unique(frames, return_inverse=True)
        contents = self.host.contents()  # of mapped frames, in the order of their numbers
        hashes = np.zeros(len(entries), np.int64)
        hashes[present] = contents[place + len(contents) - len(order)]
        equal = np.zeros(len(entries), np.bool_)
        _, content, times = np.unique(hashes[present], return_inverse=True, return_counts=True)
        equal[present] = times[content] > 1
        return hashes, equal
