"""desktop: many programs that run for long, several processes of each. Heaps and libraries' data make up most of it.

What is alike within such a machine, and why: processes of one program begin with the same heap content (the heap mix's
`common`), and each has its own copy of its libraries' data, which holds the same in all of them, but for addresses
once those are randomised. Source: Barker et al., USENIX ATC 2012: on desktops most sharing is within a machine, more
than half of it in heaps, 43 % in shared libraries; randomised addresses take about a tenth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vmdedup.guest.anonymous import Anonymous
from vmdedup.guest.content import Pages, heap_pages
from vmdedup.guest.index import Numbers
from vmdedup.guest.kinds import FileKind
from vmdedup.guest.parameters import parameter, share
from vmdedup.guest.process import Process
from vmdedup.guest.seeds import Words, below, keys, mix, split_seed
from vmdedup.guest.workloads.base import PAGES_PER_MIB, SMALL_BOOT, Budget, Workload, start_program

_TEXT_PAGES = 64
_LIBRARIES = 6
_SMALLEST = 128  # pages of memory for each process, at least
_HOT = 0.1  # of a heap, at its end: what is rewritten


@dataclass(frozen=True)
class DesktopParameters:
    """Parameters of desktop."""

    programs: int = parameter(6, "", "programs that run", low=1, high=100)
    processes: int = parameter(4, "", "processes of each: windows, tabs, helpers", low=1, high=100)
    heap_share: float = share(0.45, "of memory that all heaps take")
    data_share: float = share(0.07, "of memory that private copies of libraries' data take, in all processes")
    relocated: float = share(0.25, "of libraries' data that holds addresses: with ASLR each process has its own")
    hot_mib_s: float = parameter(1.0, "MiB/s", "heap pages rewritten, each time in another process")


class Desktop(Workload[DesktopParameters]):
    """Processes that stay; now and then one of them is used."""

    name = "desktop"
    Parameters = DesktopParameters
    boot = SMALL_BOOT

    def setup(self) -> None:
        """Start all processes."""
        given = self.parameters
        index = self.kernel.disk.index
        programs, libraries = index.of_kind(FileKind.PROGRAM), index.of_kind(FileKind.LIBRARY)[:_LIBRARIES]
        room = self.kernel.memory.pages // _SMALLEST
        count = min(given.programs * given.processes, room)
        heap, data = self.pages(given.heap_share / count), self.pages(given.data_share / count)
        text = min(_TEXT_PAGES, room)  # small machines map less of each file
        self._hot = Budget(given.hot_mib_s * PAGES_PER_MIB)
        self._processes: list[Process] = []
        self._data: list[Anonymous] = []
        for number in range(count):
            program = int(programs[number % given.programs % len(programs)])
            process = start_program(self.kernel, program, libraries, text, heap)
            self._processes.append(process)
            self._data.append(self._library_data(process, libraries, data))

    def _library_data(self, process: Process, libraries: Numbers, count: int) -> Anonymous:
        """A process's copies of its libraries' data, which is the same wherever the library is."""
        numbers = np.arange(count)
        which = self.kernel.disk.content_keys(libraries[numbers % len(libraries)])
        data_keys = mix(which ^ keys(split_seed(0, "library data"), numbers))
        if self.kernel.spec.aslr != "off":
            relocated = below(keys(split_seed(0, "relocated?"), numbers), self.parameters.relocated)
            data_keys = np.where(relocated, keys(split_seed(process.seed, "relocated"), numbers), data_keys)
        memory = self.kernel.anonymous(self._made)
        self.kernel.grow(memory, data_keys)
        return memory

    def _made(self, data_keys: Words) -> Pages:
        return heap_pages(data_keys, self.kernel.spec.heap)

    def step(self, ms: float) -> None:
        """Rewrite some pages of one process's heap."""
        process = self._processes[int(self.stream.integers(1, len(self._processes))[0])]
        hot = int(_HOT * len(process.heap))
        count = min(hot, self._hot.due(ms))
        if count:
            process.heap.rewrite(len(process.heap) - 1 - self.stream.sample(count, hot), process.own_keys(count))

    def verify(self) -> int:
        """Read back libraries' data; heaps are verified with their processes."""
        return sum(memory.verify() for memory in self._data)
