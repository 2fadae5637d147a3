"""fileserver: reads files under a Zipf law, and rewrites pages of a file of its own: laws.py, as in a real guest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vmdedup.guest.content import Pages
from vmdedup.guest.index import Numbers
from vmdedup.guest.parameters import parameter
from vmdedup.guest.seeds import Words
from vmdedup.guest.workloads.base import PAGES_PER_MIB, Budget, Workload
from vmdedup.guest.workloads.laws import OWN_PAGES
from vmdedup.guest.workloads.laws import FileServer as Law
from vmdedup.guest.workloads.programs import Program, file_paths, numbers_of

_PAGES_PER_KIB = 0.25
_SERVER = ("python3",)
_OBJECT_HEAD = 32  # bytes


@dataclass(frozen=True)
class FileServerParameters:
    """Parameters of fileserver."""

    files: int = parameter(2000, "", "files served, of those below /usr", low=1)
    zipf: float = parameter(1.0, "", "the file of rank r is asked for in proportion to 1 / r**zipf", high=5)
    own_ranking: bool = parameter(False, "", "whether each guest serves other files most often", low=None)
    file_kib: int = parameter(1024, "KiB", "at most so much is read of one file", low=4)
    read_mib_s: float = parameter(4.0, "MiB/s", "read through the page cache")
    write_mib_s: float = parameter(0.5, "MiB/s", "rewritten, in pages of a file of 4 MiB")
    program_mib: float = parameter(5.0, "MiB", "heap of the server, at most a tenth of memory")


class FileServer(Workload[FileServerParameters]):
    """One server process, many files."""

    name = "fileserver"
    Parameters = FileServerParameters

    def setup(self) -> None:
        """Rank the files; start the server."""
        given = self.parameters
        ranking = self.stream.seed if given.own_ranking else 0
        self._law = Law(file_paths(self.kernel), 1, given.files, given.zipf, ranking)
        self._files = numbers_of(self.kernel, self._law.files)
        self.kernel.look_up(self.kernel.disk.index.files)
        server = Program.find(self.kernel, _SERVER)
        server.start(self.kernel, min(self.mib(given.program_mib), self.of_memory(0.1)))
        self._buffer = self.kernel.anonymous(self._read_into)
        self._limit = max(1, int(given.file_kib * _PAGES_PER_KIB))
        self._reads = Budget(given.read_mib_s * PAGES_PER_MIB)
        self._writes = Budget(given.write_mib_s * PAGES_PER_MIB)
        self._left_to_read = 0
        self._own = self.kernel.write_new(self.fresh_keys(min(OWN_PAGES, self.of_memory(0.25))))

    def step(self, ms: float) -> None:
        """Serve requests: whole files are read, single pages written."""
        self._left_to_read += self._reads.due(ms)
        while self._left_to_read > 0 and self._files:
            pages = self.kernel.disk.index.pages_of(self._files[self._law.request()], 2 * self._limit)
            # A read of so much at once makes Linux read as much again ahead.
            pages, ahead = pages[: self._limit], pages[self._limit :]
            self.kernel.read(pages, ahead)
            self._copy(pages)
            self._left_to_read -= len(pages)
        if count := self._writes.due(ms):
            which = np.unique([self._law.page() % len(self._own) for _ in range(count)])
            self.kernel.overwrite(self._own[which], self.fresh_keys(len(which)))

    def verify(self) -> int:
        """Read back what was read last."""
        return self._buffer.verify()

    def _copy(self, pages: Numbers) -> None:
        """Into the server's one buffer: its pages hold what was read last, of some file that was so long."""
        read = pages.astype(np.uint64)
        have = len(self._buffer)
        self._buffer.rewrite(np.arange(min(have, len(read))), read[:have])
        if len(read) > have:
            self.kernel.grow(self._buffer, read[have:])

    def _read_into(self, page_keys: Words) -> Pages:
        """What a page of the buffer holds: a page of a file, further on by the head of a Python object."""
        return self.kernel.form.turned(self.kernel.files.read(page_keys.astype(np.int64)), _OBJECT_HEAD)
