"""Address spaces of guests: how a worker process gets one, and how the parent knows where it is."""

from __future__ import annotations

from dataclasses import dataclass
from multiprocessing.connection import Connection

from vmdedup.errors import HostError
from vmdedup.live.mapped.memory import RealMemory
from vmdedup.live.memory.guest import Mapping, VisiblePages, pages_in
from vmdedup.units import PAGE_SIZE


@dataclass(frozen=True)
class Space:
    """A guest's mapping as others see it: number of the guest, process, address, size in pages."""

    mm: int
    pid: int
    base: int
    pages: int

    def visible(self) -> VisiblePages:
        """The pages that the guest has now. Raises as live.memory.guest.pages_in."""
        return pages_in(self.pid, [Mapping(self.base // PAGE_SIZE, self.pages)])


@dataclass(frozen=True)
class NewMemory:
    """Fills guest.memory.MemoryProvider: makes the mapping in the worker, and reports its address (0: none)."""

    pages: int
    name: str
    report: Connection
    mergeable: bool = True
    huge: bool = False

    def memory(self, mm: int) -> RealMemory:
        """The memory of this guest. HostError: the system gives none."""
        try:
            memory = RealMemory(self.pages, self.name, self.mergeable, self.huge)
        except HostError:
            self.report.send(0)
            raise
        self.report.send(memory.base)
        return memory
