"""database: a web server, and a database in memory: a steady page cache, a heap that grows, a hot set rewritten."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vmdedup.guest.index import Numbers
from vmdedup.guest.kinds import FileKind
from vmdedup.guest.parameters import parameter, share
from vmdedup.guest.seeds import Zipf, split_seed
from vmdedup.guest.workloads.base import PAGES_PER_MIB, Budget, Workload, rank, start_program

_TEXT_PAGES = 128
_ROW_BYTES = 64


@dataclass(frozen=True)
class DatabaseParameters:
    """Parameters of database."""

    workers: int = parameter(4, "", "processes of the web server, all of one program", low=1, high=1000)
    worker_share: float = share(0.015, "of memory taken by the heap of one worker")
    cache_share: float = share(0.20, "of memory that the files served by the web server would fill")
    read_mib_s: float = parameter(8.0, "MiB/s", "files read through the page cache, under a Zipf law")
    heap_share: float = share(0.08, "of memory taken by the database's heap at its start")
    heap_limit_share: float = share(0.25, "of memory at which the database's heap stops growing")
    heap_growth_mib_s: float = parameter(0.2, "MiB/s", "growth of the database's heap")
    hot_share: float = share(0.02, "of memory that is the database's hot set, at the start of its heap")
    hot_mib_s: float = parameter(4.0, "MiB/s", "hot pages rewritten whole, in turn; each at most once a tick")
    rows_s: float = parameter(2000.0, "1/s", "stores of 64 bytes into hot pages")


class Database(Workload[DatabaseParameters]):
    """Workers of one program read files; one database process owns the large heap."""

    name = "database"
    Parameters = DatabaseParameters

    def setup(self) -> None:
        """Start the processes and choose the files."""
        given = self.parameters
        index = self.kernel.disk.index
        programs, libraries = index.of_kind(FileKind.PROGRAM), index.of_kind(FileKind.LIBRARY)
        for _ in range(given.workers):
            heap = self.pages(given.worker_share)
            start_program(self.kernel, int(programs[0]), libraries[:6], _TEXT_PAGES, heap)
        heap = self.pages(given.heap_share)
        self._database = start_program(self.kernel, int(programs[-1]), libraries[:3], _TEXT_PAGES, heap)
        self._files = rank(split_seed(self.shared, "ranks"), self._served(self.pages(given.cache_share)))
        self._zipf = Zipf(len(self._files), 0.8)
        self._reads = Budget(given.read_mib_s * PAGES_PER_MIB)
        self._growth = Budget(given.heap_growth_mib_s * PAGES_PER_MIB)
        self._hot = Budget(given.hot_mib_s * PAGES_PER_MIB)
        self._rows = Budget(given.rows_s)
        self._left_to_read = 0
        self._next_hot = 0

    def _served(self, pages: int) -> Numbers:
        """As many data files as fit into so many pages, one at least."""
        index = self.kernel.disk.index
        files = index.of_kind(FileKind.DATA)
        sizes = np.diff(index.first_pages)[files]
        small = files[sizes <= max(1, pages // 8)]
        fit = int(np.searchsorted(np.cumsum(np.diff(index.first_pages)[small]), pages, side="right"))
        return small[: max(1, fit)] if len(small) else files[:1]

    def step(self, ms: float) -> None:
        """Serve, grow, rewrite."""
        self._serve(ms)
        heap = self._database.heap
        room = self.pages(self.parameters.heap_limit_share) - len(heap)
        grown = min(self._growth.due(ms), max(0, room))
        self.kernel.grow(heap, self._database.own_keys(grown))
        hot = min(len(heap), self.pages(self.parameters.hot_share))
        if hot:
            self._rewrite(hot, ms)

    def _serve(self, ms: float) -> None:
        self._left_to_read += self._reads.due(ms)
        while self._left_to_read > 0:
            file = int(self._files[self._zipf.draw(self.stream, 1)[0]])
            pages = self.kernel.disk.index.pages_of(file, self.pages(0.1))
            self.kernel.read(pages)
            self._left_to_read -= len(pages)

    def _rewrite(self, hot: int, ms: float) -> None:
        heap = self._database.heap
        count = min(hot, self._hot.due(ms))
        which = (self._next_hot + np.arange(count)) % hot
        self._next_hot = (self._next_hot + count) % hot
        heap.rewrite(which, self._database.own_keys(len(which)))
        rows = self._rows.due(ms)
        places = _ROW_BYTES * self.stream.integers(rows, 4096 // _ROW_BYTES)
        data = np.repeat(self.stream.words(rows)[:, None], _ROW_BYTES // 8, axis=1).view(np.uint8)
        heap.poke(self.stream.integers(rows, hot), places, data)
