"""idle: what a guest does that nobody uses. Timers tick in the heaps of what was booted, and a log grows."""

from __future__ import annotations

from dataclasses import dataclass

from vmdedup.guest.parameters import parameter
from vmdedup.guest.sprinkle import Sprinkler
from vmdedup.guest.workloads.base import Budget, Workload

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
        self._sprinkler = Sprinkler(self.kernel.memory, self.stream)

    def step(self, ms: float) -> None:
        """Spread the work over the processes by the size of their heaps."""
        heaps = [process.heap for process in self.kernel.processes]
        self._sprinkler.stores(heaps, self._stores.due(ms), _HOT_SHARE)
        self._sprinkler.reads(heaps, self._reads.due(ms))
        if count := self._log.due(ms):
            self.kernel.write_new(self.fresh_keys(count))
