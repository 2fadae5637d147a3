"""Processes that were recorded as one system, as one guest: a phone's memory, whose areas say whose they are.

    place of the recording ──► page of the guest, by process, by kind, by address, without what never held anything

The zygote's memory, which others came from by fork, is the system's own; so are files. Which program is in front says
oom_score_adj, as Android sets it: below 0 is the system, from BACKGROUND_FROM on nobody sees it.
Source: Linux, Documentation/filesystems/proc.rst; Android's ProcessList (FOREGROUND_APP_ADJ 0, VISIBLE_APP_ADJ 100).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from vmdedup.dump.base import Process
from vmdedup.dump.processes import PROCESS
from vmdedup.guest.life import Area, Change
from vmdedup.guest.recorded import RecordedLife
from vmdedup.host.layout import ANONYMOUS, AREAS, BACKGROUND, FILES, FOREGROUND, STACK, UNKNOWN
from vmdedup.recording.digest import memory_digest, page_digests

if TYPE_CHECKING:
    from vmdedup.guest.content import Pages
    from vmdedup.guest.index import Numbers
    from vmdedup.recording.reader import Recording

BACKGROUND_FROM: Final = 100
_KINDS: Final = {"file": FILES, "stack": STACK, "memory": ANONYMOUS}  # by the second word of a region's name


class FamilyLife(RecordedLife):
    """One guest of a recording that was several processes."""

    def __init__(self, recording: Recording, guest: int) -> None:
        super().__init__(recording, guest)
        self._said = [recording.snapshot(guest, step).processes for step in range(len(recording.steps))]
        self._zygotes = {pid for said in self._said for pid, process in said.items() if process.is_zygote}
        held = self._ever_held(recording, guest)
        pid, kind, number = self._columns()
        order = np.lexsort((number[held], kind[held], pid[held]))
        self._places = held[order]
        self._page = np.full(self.places.pages, -1, np.int64)
        self._page[self._places] = np.arange(len(held))
        self._runs = _runs(pid[self._places], kind[self._places])
        self._owners = {owner: 1 + at for at, owner in enumerate(sorted({run[2] for run in self._runs}))}

    def _ever_held(self, recording: Recording, guest: int) -> Numbers:
        """Places that hold something at any step."""
        held = np.zeros(self.places.pages, np.bool_)
        for step in range(len(recording.steps)):
            for places, contents in recording.changes(guest, step):
                held[places[contents != 0]] = True
        return np.flatnonzero(held)

    def _columns(self) -> tuple[Numbers, Numbers, Numbers]:
        """By place: process, kind, page number."""
        sizes = [region.pages for region in self.places.regions]
        words = [region.name.split(" ", 2)[1:2] for region in self.places.regions]
        kinds = [_KINDS.get("".join(word), ANONYMOUS) for word in words]
        starts = np.cumsum([0, *sizes])[:-1]
        firsts = np.array([region.first for region in self.places.regions], np.int64)
        number = np.repeat(firsts - starts, sizes) + np.arange(sum(sizes))
        return number >> PROCESS, np.repeat(kinds, sizes), number

    @property
    def pages(self) -> int:
        """Those that ever hold something."""
        return len(self._places)

    def changes(self, step: int) -> Iterator[Change]:
        """What was recorded for the step."""
        for places, pages in super().changes(step):
            yield self._page[places], pages

    def present(self, step: int) -> NDArray[np.bool_]:
        """By page of the guest."""
        return super().present(step)[self._places]

    def digest_of(self, step: int, read: Callable[[Numbers], Pages]) -> str:
        """As of the recording's own places."""
        held = super().present(step)
        return memory_digest(self.places, held, lambda chosen: page_digests(read(self._page[chosen])))

    def areas(self, step: int) -> Iterator[Area]:
        """Whose each run of pages is. One that has ended, or has not begun, has none."""
        said = self._said[step]
        for number, (first, pages, pid, kind) in enumerate(self._runs[:AREAS]):
            process = said.get(pid)
            owner = 0 if pid in self._zygotes else self._owners[pid]
            yield Area(number, first, pages if process else 0, kind, owner, self._state(pid, said))

    def _state(self, pid: int, said: Mapping[int, Process]) -> int:
        if pid not in said or pid in self._zygotes or said[pid].oom_score_adj < 0:
            return UNKNOWN
        return FOREGROUND if said[pid].oom_score_adj < BACKGROUND_FROM else BACKGROUND


def _runs(pid: Numbers, kind: Numbers) -> list[tuple[int, int, int, int]]:
    """First, pages, process and kind of each run of alike pages."""
    cuts = np.flatnonzero((np.diff(pid) != 0) | (np.diff(kind) != 0)) + 1
    edges = [0, *cuts.tolist(), len(pid)] if len(pid) else []
    return [(first, after - first, int(pid[first]), int(kind[first])) for first, after in pairwise(edges)]
