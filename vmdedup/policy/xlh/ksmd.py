"""ksmd with hints: runs that serve hints, and runs of the linear scan, in turns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.hints import take_hints
from vmdedup.host.layout import HINT_RING
from vmdedup.host.memory import Host
from vmdedup.ksm.ksmd import Ksmd
from vmdedup.policy.xlh import layout
from vmdedup.policy.xlh.layout import HINT_RUNS, SERVED, TURN_WORDS
from vmdedup.policy.xlh.reach import REACHABLE, WAITING, count_reachable
from vmdedup.policy.xlh.scan import scan_in_turns
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
        self._turns = np.zeros(TURN_WORDS, np.int64)

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
        tops = self._h.mms["hint_top"]
        taken = [self._take(mm) for mm in sorted(self._seen) if tops[mm] != self._seen[mm]]
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

    def _do_scan(self, pages: int) -> int:
        """Serve hints, and scan linearly, in turns."""
        turns, hints = self._turns, self.stack.pop(pages)
        turns[HINT_RUNS:] = self.hint_runs, self.scan_runs, self.get("pages_to_scan"), 0
        done = int(scan_in_turns(self._h, self.arrays, self.records, hints, turns, pages))
        if turns[SERVED] < len(hints):
            self.stack.push(hints[turns[SERVED] :][::-1])
        return done

    def reachable(self) -> tuple[int, int]:
        """Pages that wait for their like, and how many of them a search would find; reads them all."""
        found = np.zeros(2, np.int64)
        count_reachable(self._h, self.arrays, self.records, found)
        return int(found[WAITING]), int(found[REACHABLE])
