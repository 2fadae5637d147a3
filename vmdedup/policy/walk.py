"""The order in which most scanners go: address space after address space, page by page, round and round."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.layout import MM_LIVE
from vmdedup.host.memory import Host


class Walk:
    """A cursor over the pages of all address spaces that have entered. rounds: how often it has been round."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.mms: list[int] = []
        self._at = 0  # index into mms
        self._page = 0
        self.rounds = 0

    def enter(self, mm: int) -> None:
        """Take an address space in, behind all others."""
        if mm not in self.mms:
            self.mms.append(mm)

    def leave(self, mm: int) -> None:
        """Take an address space out."""
        if mm not in self.mms:
            return
        index = self.mms.index(mm)
        self.mms.remove(mm)
        if index < self._at:
            self._at -= 1
        elif index == self._at:
            self._page = 0
        self._end_round_if_due()

    def next(self, pages: int) -> tuple[int, NDArray[np.int64]]:
        """The next pages of one address space, at most so many: (mm, entries). No entries: nobody is there.

        The end of a round ends the run of pages.
        """
        for _ in range(len(self.mms)):
            mm = self.mms[self._at]
            record = self._host.arrays.mms[mm]
            size = int(record["pages"]) if record["state"] == MM_LIVE else 0
            if self._page < size:
                first, start = int(record["first"]), self._page
                self._page = min(size, start + pages)
                entries = np.arange(first + start, first + self._page)
                if self._page == size:
                    self._go_on()
                return mm, entries
            self._go_on()
        return 0, np.zeros(0, np.int64)

    def _go_on(self) -> None:
        self._at += 1
        self._page = 0
        self._end_round_if_due()

    def _end_round_if_due(self) -> None:
        if self._at >= len(self.mms):
            self._at = 0
            self._page = 0
            if self.mms:
                self.rounds += 1
