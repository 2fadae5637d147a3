"""idle: what a guest does that nobody uses. Timers tick in the heaps of what was booted, and a log grows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vmdedup.guest.index import Numbers
from vmdedup.guest.parameters import parameter
from vmdedup.guest.process import Process
from vmdedup.guest.workloads.base import Budget, Workload

_STORE_BYTES = 8
_HOT_SHARE = 0.05


@dataclass(frozen=True)
class IdleParameters:
    """Parameters of idle."""

    stores_s: float = parameter(100.0, "1/s", "stores of 8 bytes into the hot twentieth of all heaps")
    reads_s: float = parameter(200.0, "1/s", "heap pages read")
    log_pages_s: float = parameter(0.5, "1/s", "pages appended to log files")


class Idle(Workload[IdleParameters]):
    """Small stores, small reads, a log."""

    name = "idle"
    Parameters = IdleParameters

    def setup(self) -> None:
        """Work starts with the first step."""
        self._stores = Budget(self.parameters.stores_s)
        self._reads = Budget(self.parameters.reads_s)
        self._log = Budget(self.parameters.log_pages_s)

    def step(self, ms: float) -> None:
        """Spread the work over the processes by the size of their heaps."""
        for process, pages in self._spread(self._stores.due(ms), _HOT_SHARE):
            places = _STORE_BYTES * self.stream.integers(len(pages), 4096 // _STORE_BYTES)
            data = self.stream.words(len(pages)).view(np.uint8).reshape(-1, _STORE_BYTES)
            process.heap.poke(pages, places, data)
        for process, pages in self._spread(self._reads.due(ms), 1.0):
            process.heap.touch(pages)
        if count := self._log.due(ms):
            self.kernel.write_new(self.fresh_keys(count))

    def _spread(self, count: int, hot: float) -> list[tuple[Process, Numbers]]:
        """count random pages of the first share of every heap, by process."""
        processes = [process for process in self.kernel.processes if len(process.heap)]
        if not count or not processes:
            return []
        ends = np.cumsum([max(1, int(hot * len(process.heap))) for process in processes])
        drawn = np.sort(self.stream.integers(count, int(ends[-1])))
        owners = np.searchsorted(ends, drawn, side="right")
        return [
            (processes[owner], drawn[owners == owner] - (int(ends[owner - 1]) if owner else 0))
            for owner in np.unique(owners).tolist()
        ]
