"""files: reads and rewrites files under a Zipf law; a few files take most of the traffic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vmdedup.guest.kinds import FileKind
from vmdedup.guest.parameters import parameter, share
from vmdedup.guest.seeds import Zipf, split_seed
from vmdedup.guest.workloads.base import PAGES_PER_MIB, Budget, Workload, rank, start_program

_TEXT_PAGES = 64
_WRITE_PAGES = 16
_PAGES_PER_KIB = 0.25


@dataclass(frozen=True)
class FilesParameters:
    """Parameters of files."""

    files: int = parameter(2000, "", "files served", low=1)
    zipf: float = parameter(1.0, "", "the file of rank r is asked for in proportion to 1 / r**zipf", high=5)
    own_ranking: bool = parameter(False, "", "whether each guest serves other files most often", low=None)
    file_kib: int = parameter(1024, "KiB", "at most so much is read of one file", low=4)
    read_mib_s: float = parameter(20.0, "MiB/s", "read through the page cache")
    write_mib_s: float = parameter(1.0, "MiB/s", "rewritten, in runs of up to 16 pages of one file")
    heap_share: float = share(0.05, "of memory taken by the server's heap")


class Files(Workload[FilesParameters]):
    """One server process, many files."""

    name = "files"
    Parameters = FilesParameters

    def setup(self) -> None:
        """Choose and rank the files; start the server."""
        index = self.kernel.disk.index
        data = index.of_kind(FileKind.DATA)[: self.parameters.files]
        seed = self.stream.seed if self.parameters.own_ranking else self.shared
        self._files = rank(split_seed(seed, "ranks"), data)
        self._zipf = Zipf(len(self._files), self.parameters.zipf)
        self._limit = max(1, int(self.parameters.file_kib * _PAGES_PER_KIB))
        self._reads = Budget(self.parameters.read_mib_s * PAGES_PER_MIB)
        self._writes = Budget(self.parameters.write_mib_s * PAGES_PER_MIB)
        self._left_to_read = self._left_to_write = 0
        program = int(index.of_kind(FileKind.PROGRAM)[0])
        libraries = index.of_kind(FileKind.LIBRARY)[:4]
        start_program(self.kernel, program, libraries, _TEXT_PAGES, self.pages(self.parameters.heap_share))

    def step(self, ms: float) -> None:
        """Serve requests: whole files are read, runs of pages written."""
        self._left_to_read += self._reads.due(ms)
        while self._left_to_read > 0:
            pages = self._draw()
            self.kernel.read(pages)
            self._left_to_read -= len(pages)
        self._left_to_write += self._writes.due(ms)
        while self._left_to_write > 0:
            pages = self._draw()
            start = self.stream.integer(len(pages))
            run = pages[start : start + _WRITE_PAGES]
            self.kernel.rewrite(run)
            self._left_to_write -= len(run)

    def _draw(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        file = int(self._files[self._zipf.draw(self.stream, 1)[0]])
        return self.kernel.disk.index.pages_of(file, self._limit)
