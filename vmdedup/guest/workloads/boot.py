"""boot: reads what a boot reads, in a reproducible order; starts processes. Every guest begins with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vmdedup.guest.index import Numbers
from vmdedup.guest.kinds import FileKind
from vmdedup.guest.parameters import parameter, share
from vmdedup.guest.seeds import Stream
from vmdedup.guest.workloads.base import PAGES_PER_MIB, Workload, start_program

_FILE_PAGES = 512
_EARLY_FILES = 64
_TEXT_PAGES = 96
_TEXT_SHARE = 0.25
_LIBRARIES_EACH = 4
_EVERYWHERE = 6
_WINDOW = 4
_MAPPED = 4  # one page of so many is mapped by a process that goes on


@dataclass(frozen=True)
class BootParameters:
    """Parameters of boot."""

    read_mib_s: float = parameter(150.0, "MiB/s", "how fast files are read and memory is filled", low=0.001)
    cache_share: float = share(0.16, "of memory, of Linux of at most 128 MiB, filled with files by the end of the boot")
    heap_share: float = share(0.028, "of as much memory, taken by the heaps of all started processes together")
    processes: int = parameter(6, "", "processes started; at most one for each MiB of memory", high=10_000)
    scrubbed: bool = parameter(False, "", "whether all memory is there from power-on, as zeros, as Xen gives it")
    late_s: float = parameter(4.0, "s", "Linux: up to so long, by guest, until the workload starts")
    again_s: float = parameter(0.0, "s", "reboot after so long, measured from power-on; 0: never")


class Boot(Workload[BootParameters]):
    """Early files, then services a few at a time, then what they read, until the cache has its share."""

    name = "boot"
    Parameters = BootParameters

    def setup(self) -> None:
        """Plan the boot; nothing is read yet."""
        if self.parameters.scrubbed:
            self.kernel.physical.clear(self.kernel.physical.free_pages())
        self.finished = False
        self._debt = 0.0
        self._libraries = self.kernel.disk.index.of_kind(FileKind.LIBRARY)
        self._processes = min(self.parameters.processes, self.kernel.memory.pages // PAGES_PER_MIB)
        files = self._processes * (1 + _LIBRARIES_EACH) + _EVERYWHERE
        self._text_pages = max(2, min(_TEXT_PAGES, self.of_memory(_TEXT_SHARE) // files))
        self._plan = self._sequence()

    def step(self, ms: float) -> None:
        """Go on with the boot for ms milliseconds."""
        self._debt -= self.parameters.read_mib_s * PAGES_PER_MIB * ms / 1000.0
        while self._debt < 0 and not self.finished:
            done = next(self._plan, None)
            self.finished = done is None
            self._debt += done or 0

    def _sequence(self) -> Iterator[int]:
        """Each step of the boot, giving the pages that it cost."""
        index = self.kernel.disk.index
        if not self.kernel.spec.plain_pages and self.kernel.disk.booted is not None:
            yield from self._as_booted(self.kernel.disk.booted)
            yield from self._late()
            return
        for file in index.of_kind(FileKind.EARLY)[:_EARLY_FILES].tolist():
            yield self._read(index.pages_of(file, _FILE_PAGES))
        services = iter(index.of_kind(FileKind.SERVICE).tolist())
        for program, heap in self._programs():
            yield self._start(program, heap)
            if (service := next(services, None)) is not None:
                yield self._read(index.pages_of(service, _FILE_PAGES))
        yield from self._fill_cache()
        yield from self._late()

    def _as_booted(self, pages: Numbers) -> Iterator[int]:
        """What is known to be cached after a boot, and as many processes, whose programs are some of it."""
        for start in range(0, len(pages), _FILE_PAGES):
            yield self._read(pages[start : start + _FILE_PAGES])
        for number, (program, heap) in enumerate(self._programs()):
            name = int(self.kernel.disk.content_keys(np.array([program]))[0])
            self.kernel.spawn(pages[number :: _MAPPED * self._processes], name, heap)
            yield heap

    def _fill_cache(self) -> Iterator[int]:
        index = self.kernel.disk.index
        wanted = min(self._of_first(self.parameters.cache_share), index.pages)
        for file in index.of_kind(FileKind.LIBRARY, FileKind.SERVICE, FileKind.DATA).tolist():
            room = wanted - self.kernel.cache.size
            if room <= 0:
                return
            yield self._read(index.pages_of(file, min(room, _FILE_PAGES)))

    def _programs(self) -> list[tuple[int, int]]:
        """(file, pages of heap) of each process, in this guest's order: those started together may swap."""
        files = self.kernel.disk.index.of_kind(FileKind.PROGRAM)
        count = self._processes
        chosen = np.resize(files, count)
        weights = 0.2 + Stream(self.shared).uniform(count)
        heaps = (weights / (weights.sum() or 1.0) * self._of_first(self.parameters.heap_share)).astype(np.int64)
        order = np.argsort(np.arange(count) + _WINDOW * self.stream.uniform(count), kind="stable")
        return list(zip(chosen[order].tolist(), heaps[order].tolist(), strict=True))

    def _late(self) -> Iterator[int]:
        """What other things a boot waits for: no two guests are up at the same moment."""
        if self.kernel.spec.plain_pages:
            return
        a_second = int(self.parameters.read_mib_s * PAGES_PER_MIB)
        yield int(self.stream.uniform(1)[0] * self.parameters.late_s * a_second)

    def _of_first(self, share: float) -> int:
        """Pages in a share of memory; a Linux of more than 128 MiB needs no more to boot than that."""
        return self.of_memory(share) if self.kernel.spec.plain_pages else int(share * self.kernel.base_pages)

    def _start(self, program: int, heap: int) -> int:
        libraries = self._libraries_of(program)
        process = start_program(self.kernel, program, libraries, self._text_pages, heap)
        return len(process.text) + heap

    def _libraries_of(self, program: int) -> Numbers:
        """The libraries that every program has, and some that this one has."""
        files = self._libraries
        own = Stream(int(self.kernel.disk.index.keys[program])).integers(_LIBRARIES_EACH, len(files))
        return np.unique(np.concatenate((files[:_EVERYWHERE], files[own])))

    def _read(self, pages: Numbers) -> int:
        self.kernel.read(pages)
        return len(pages)
