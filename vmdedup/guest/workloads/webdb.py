"""webdb: a web server and a database in a file. What is asked for and changed: laws.py, as in a real guest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vmdedup.guest.parameters import parameter
from vmdedup.guest.workloads.base import PAGES_PER_MIB, Budget, Workload
from vmdedup.guest.workloads.laws import PAGE, ROW_BYTES, ROWS_PAGE
from vmdedup.guest.workloads.laws import WebDb as Law
from vmdedup.guest.workloads.programs import Program, file_paths, numbers_of

_WEB = ("nginx", "libssl.so.3", "libexpat.so")
_DATABASE = ("python3", "libsqlite3.so", "_sqlite3.cpython")
_ANSWER_BYTES = 250  # of a web server's answer, before the file


@dataclass(frozen=True)
class WebDbParameters:
    """Parameters of webdb."""

    workers: int = parameter(4, "", "processes of the web server, all of one program", low=1, high=1000)
    worker_mib: float = parameter(0.6, "MiB", "heap of each, at most a fiftieth of memory")
    program_mib: float = parameter(7.5, "MiB", "heap of the program that asks and writes, at most a tenth of memory")
    read_mib_s: float = parameter(0.1, "MiB/s", "served, each file of /usr/share as often as the others")
    growth_mib_s: float = parameter(0.1, "MiB/s", "rows added to the database, of 1 KiB each")
    rows_s: float = parameter(20.0, "1/s", "rows changed, each as often as the others")


class WebDb(Workload[WebDbParameters]):
    """Workers of one program serve files; a database grows in a file, and its pages are rewritten."""

    name = "webdb"
    Parameters = WebDbParameters

    def setup(self) -> None:
        """Start the processes; look up the files."""
        given = self.parameters
        self._law = Law(file_paths(self.kernel), 1)
        self._files = numbers_of(self.kernel, self._law.files)
        self.kernel.look_up(len(self._files))
        web = Program.find(self.kernel, _WEB)
        for _ in range(given.workers):
            web.start(self.kernel, min(self.mib(given.worker_mib), self.of_memory(0.02)))
        database = Program.find(self.kernel, _DATABASE)
        database.start(self.kernel, min(self.mib(given.program_mib), self.of_memory(0.1)))
        self._reads = Budget(given.read_mib_s * PAGES_PER_MIB * PAGE)
        self._rows = Budget(given.rows_s)
        self._growth = Budget(given.growth_mib_s * PAGES_PER_MIB * PAGE / ROW_BYTES)
        self._left_to_read = self._added = 0
        self._table = np.empty(0, dtype=np.int64)

    def step(self, ms: float) -> None:
        """Serve, then add and change rows."""
        self._left_to_read += self._reads.due(ms)
        while self._left_to_read > 0 and self._files:
            self._serve(self._files[self._law.request()])
        self._added += self._growth.due(ms)
        if (more := -(-self._added // ROWS_PAGE) - len(self._table)) > 0:
            self._table = np.concatenate((self._table, self.kernel.write_new(self.fresh_keys(more))))
        if self._added and (changes := self._rows.due(ms)):
            which = np.unique([self._law.row(self._added) // ROWS_PAGE for _ in range(changes)])
            self.kernel.overwrite(self._table[which], self.fresh_keys(len(which)))

    def _serve(self, file: int) -> None:
        index = self.kernel.disk.index
        self.kernel.read(index.pages_of(file, self.of_memory(0.1)))
        self._left_to_read -= int(index.sizes[file]) + _ANSWER_BYTES
