"""ksmd with hints: runs that serve hints, and runs of the linear scan, in turns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.hints import take_hints
from vmdedup.host.layout import HINT_RING
from vmdedup.host.memory import Host
from vmdedup.ksm.ksmd import Ksmd
from vmdedup.policy.xlh import layout
from vmdedup.policy.xlh.reach import REACHABLE, WAITING, count_reachable
from vmdedup.policy.xlh.scan import look_at_hinted, scan_linearly
from vmdedup.policy.xlh.stack import HintStack


class HintedKsmd(Ksmd):
    """ksmd with a stack of hints. A run is as long as pages_to_scan says, however many batches that takes.

    hint_runs, scan_runs: how many runs of each kind follow each other. A run for hints goes on as linear scan when
    there are no more of them. So 0 : 1 is plain ksmd, and at 1 : 1 useless hints cost half of its rate at worst.
    Source: Miller et al., XLH, USENIX ATC 2013, section 3.
    """

    def __init__(self, host: Host, stack_size: int) -> None:
        super().__init__(host)
        self.records = layout.make(len(host.arrays.pte))
        self.stack = HintStack(stack_size)
        self.hint_runs = self.scan_runs = 1
        self.hints = 0  # that guests have left
        self.lost = 0  # of these, overwritten in guests' rings
        self._seen: dict[int, int] = {}  # hints of each address space that have been taken
        self._buffer = np.zeros(HINT_RING + 1, np.int64)
        self._run = 0  # which run of the cycle this is
        self._in_run = 0  # pages of this run that have been scanned

    def enter(self, mm: int) -> None:
        """Its hints are taken too."""
        super().enter(mm)
        self._seen[mm] = 0

    def exit(self, mm: int) -> None:
        """Hints of its pages that are on the stack are useless from now on."""
        super().exit(mm)
        self._seen.pop(mm, None)

    def gather(self) -> int:
        """Put on the stack what guests have hinted since this was last called. Returns how many there were.

        Guests have left their hints at the same time, so those of all of them alternate.
        """
        taken = [self._take(mm) for mm in sorted(self._seen)]
        places = [np.arange(0.5, len(entries)) / len(entries) for entries in taken if len(entries)]
        if not places:
            return 0
        entries = np.concatenate(taken)[np.argsort(np.concatenate(places), kind="stable")]
        self.records.hinted_at[entries] = self.now_ms + 1
        self.stack.push(entries)
        return len(entries)

    def _take(self, mm: int) -> NDArray[np.int64]:
        count = int(take_hints(self._h, mm, self._seen[mm], self._buffer))
        top = int(self._buffer[HINT_RING])
        self.hints += top - self._seen[mm]
        self.lost += top - self._seen[mm] - count
        self._seen[mm] = top
        return self._buffer[:count].copy()

    def scan(self, pages: int) -> int:
        """One batch; ends early at the end of the full scan. Returns pages scanned, for hints and linearly."""
        done, scans = 0, self.full_scans
        while self.should_run() and done < pages and self.full_scans == scans:
            left = max(1, self.get("pages_to_scan") - self._in_run)
            part = self._part(min(left, pages - done))
            if part == 0:
                break
            done += part
            self._pass(part, left)
        return done

    def _part(self, pages: int) -> int:
        """Some pages of the run that it is at."""
        if self._run < self.hint_runs:
            entries = self.stack.pop(pages)
            if len(entries):
                look_at_hinted(self._h, self.arrays, self.records, entries)
                return len(entries)
        return super().scan(pages)

    def _pass(self, pages: int, left: int) -> None:
        self._in_run += pages
        if pages == left:
            self._in_run = 0
            self._run = (self._run + 1) % (self.hint_runs + self.scan_runs)

    def _do_scan(self, pages: int) -> int:
        return int(scan_linearly(self._h, self.arrays, self.records, pages))

    def reachable(self) -> tuple[int, int]:
        """Pages that wait for their like, and how many of them a search would find; reads them all."""
        found = np.zeros(2, np.int64)
        count_reachable(self._h, self.arrays, self.records, found)
        return int(found[WAITING]), int(found[REACHABLE])
