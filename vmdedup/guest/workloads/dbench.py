"""dbench: clients that create files, read them back and delete them, for a stated time; then all files are gone.

What they write is one byte over and over: dbench 1 and 2 fill their buffer with ones, later versions with zeros. So
page cache and, once files are deleted, free memory hold equal pages in all guests. Only the last page of a file is
unlike others: its size is a function of its number. In kind as dbench's load file, which replays what a file server
saw (create, write, read, flush, unlink, at last the whole tree), with its sizes drawn instead of listed.
Source: Tridgell, dbench; Gupta et al., Difference Engine, OSDI 2008, section 5.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from vmdedup.guest.content import filled_key
from vmdedup.guest.index import Numbers
from vmdedup.guest.kinds import FileKind
from vmdedup.guest.parameters import Value, parameter, share
from vmdedup.guest.process import Process
from vmdedup.guest.seeds import Stream, Words, split_seed
from vmdedup.guest.workloads.base import PAGES_PER_MIB, Workload, start_program
from vmdedup.units import PAGE_SIZE

_TEXT_PAGES = 16
_HEAP_PAGES = 8
# A system that has nothing else to do.
_BOOT: Mapping[str, Value] = {"cache_share": 0.12, "heap_share": 0.05}


@dataclass(frozen=True)
class DbenchParameters:
    """Parameters of dbench."""

    clients: int = parameter(10, "", "clients, each with files of its own", low=1, high=1000)
    files: int = parameter(40, "", "files that a client has before it deletes them all", low=1, high=10_000)
    files_share: float = share(0.5, "of memory that the files of all clients fill at most")
    mib_s: float = parameter(20.0, "MiB/s", "written and read, all clients together", low=0.001)
    reads: int = parameter(1, "", "times that a file is read after it was written", high=100)
    run_s: float = parameter(600.0, "s", "until clients end and delete what they have")
    byte: int = parameter(1, "", "what files are filled with: 1 as by dbench 1 and 2, 0 as by later ones", high=255)


class Dbench(Workload[DbenchParameters]):
    """Clients in turn, a file at a time. running: whether they still are."""

    name = "dbench"
    Parameters = DbenchParameters
    boot = _BOOT

    def setup(self) -> None:
        """Start a process for each client."""
        index = self.kernel.disk.index
        program, libraries = int(index.of_kind(FileKind.PROGRAM)[0]), index.of_kind(FileKind.LIBRARY)[:2]
        self.running = True
        self._left_ms = 1000.0 * self.parameters.run_s
        self._credit = 0.0
        self._processes = [self._client(program, libraries) for _ in range(self.parameters.clients)]
        self._files: list[list[Numbers]] = [[] for _ in self._processes]
        self._works = [self._work(number) for number in range(self.parameters.clients)]
        self._turn = 0

    def _client(self, program: int, libraries: Numbers) -> Process:
        return start_program(self.kernel, program, libraries, _TEXT_PAGES, _HEAP_PAGES)

    def step(self, ms: float) -> None:
        """Let clients work in turn, until their time is up."""
        if not self.running:
            return
        self._left_ms -= ms
        self._credit += self.parameters.mib_s * PAGES_PER_MIB * ms / 1000.0
        while self._credit > 0 and self._left_ms > 0:
            self._credit -= next(self._works[self._turn % len(self._works)])
            self._turn += 1
        if self._left_ms <= 0:
            self._end()

    def _work(self, number: int) -> Iterator[int]:
        """A client's life: each step gives the pages that it cost. Clients begin at different files of their list."""
        files, sizes = self._files[number], self._sizes(number)
        first = number * len(sizes) // self.parameters.clients
        while True:
            for size in sizes[first:]:
                file = self.kernel.write_new(self._content(size))
                files.append(file)
                yield len(file)
                for _ in range(self.parameters.reads):
                    self.kernel.read(file)
                    yield len(file)
            self._delete(files)
            first = 0
            yield 1

    def _sizes(self, number: int) -> list[int]:
        """Bytes of each file of a client: the same in every guest."""
        most = self.parameters.files_share * self.kernel.memory.pages * PAGE_SIZE / self.parameters.clients
        drawn = 0.1 + Stream(split_seed(number, "dbench sizes")).uniform(self.parameters.files)
        # A file takes whole pages, half a page more than its size on average.
        room = max(0.0, most - len(drawn) * PAGE_SIZE / 2)
        return [max(1, int(size)) for size in drawn / drawn.sum() * room]

    def _content(self, size: int) -> Words:
        pages = np.full(-(-size // PAGE_SIZE), filled_key(self.parameters.byte), dtype=np.uint64)
        pages[-1] = filled_key(self.parameters.byte, (size - 1) % PAGE_SIZE + 1)
        return pages

    def _delete(self, files: list[Numbers]) -> None:
        for file in files:
            self.kernel.delete(file)
        files.clear()

    def _end(self) -> None:
        for files in self._files:
            self._delete(files)
        for process in self._processes:
            self.kernel.exit(process)
        self.running = False
