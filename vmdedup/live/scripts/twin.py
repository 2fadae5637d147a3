"""The emulated twin of real processes: a host with the same pages, in the order in which ksmd sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vmdedup.closing import Closing
from vmdedup.host.memory import Host
from vmdedup.host.space import Memory
from vmdedup.ksm.ksmd import Ksmd
from vmdedup.live.memory.guest import VisiblePages


class Twin(Closing):
    """One host and its ksmd, in this process, for processes in the order of ksmd's list. A context manager."""

    def __init__(self, guests: Sequence[VisiblePages], knobs: Mapping[str, str]) -> None:
        """Copy the pages as they are now; nobody may store to them meanwhile. knobs: tunables, as text.

        HostError: this machine has no memory for the copy. GuestError: a process is gone.
        """
        self._host = Host.create(max(1, sum(map(len, guests))), mms=len(guests) + 1)
        try:
            self._ksmd = Ksmd(self._host)
            for knob, value in knobs.items():
                self._ksmd.set(knob, value)
            self._memories = [self._enter(guest) for guest in guests]
        except BaseException:
            self._host.close()
            raise

    def _enter(self, guest: VisiblePages) -> Memory:
        memory = self._host.add(max(1, len(guest)), str(guest.pid))
        for first, pages in guest.blocks():
            memory.write_pages(np.arange(first, first + len(pages)), pages)
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

    def close(self) -> None:
        """Give the memory back."""
        self._host.close()
