"""compile: compilers. Sources are read, short-lived processes churn anonymous memory, objects are written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vmdedup.guest.index import Numbers
from vmdedup.guest.kinds import FileKind
from vmdedup.guest.parameters import parameter, share
from vmdedup.guest.process import Process
from vmdedup.guest.seeds import Stream, Words, Zipf, below, keys, split_seed
from vmdedup.guest.workloads.base import Budget, Workload, start_program

_TEXT_PAGES = 256
_SOURCE_PAGES = 64
_FIRST_HEAP = 0.25


@dataclass(frozen=True)
class CompileParameters:
    """Parameters of compile."""

    jobs: int = parameter(4, "", "compilers running at a time, at most", low=1, high=1000)
    starts_s: float = parameter(8.0, "1/s", "compilers started")
    life_ms: float = parameter(400.0, "ms", "how long each runs", low=1)
    heap_share: float = share(0.03, "of memory that a compiler's heap has grown to when it ends")
    headers: int = parameter(6, "", "headers read for each source file, under a Zipf law", high=1000)
    object_pages: int = parameter(8, "", "pages of object file that each compiler writes", high=10_000)
    same_objects: float = share(0.8, "object pages alike in all guests that compile the same source")


@dataclass
class _Job:
    process: Process
    unit: int
    left_ms: float
    heap: int


class Compile(Workload[CompileParameters]):
    """A make -j over the disk's source files, again and again."""

    name = "compile"
    Parameters = CompileParameters

    def setup(self) -> None:
        """Find compiler and sources."""
        index = self.kernel.disk.index
        self._compiler = int(index.of_kind(FileKind.PROGRAM)[-1])
        self._libraries = index.of_kind(FileKind.LIBRARY)[:4]
        self._sources = index.of_kind(FileKind.SOURCE)
        self._zipf = Zipf(len(self._sources), 1.0)
        self._starts = Budget(self.parameters.starts_s)
        self._jobs: list[_Job] = []
        self._waiting = 0
        self._unit = 0

    def step(self, ms: float) -> None:
        """Let the running compilers grow and end, then start what is due."""
        for job in self._jobs[:]:
            self._run(job, ms)
        self._waiting = min(self._waiting + self._starts.due(ms), self.parameters.jobs)
        while self._waiting and len(self._jobs) < self.parameters.jobs:
            self._waiting -= 1
            self._jobs.append(self._start())

    def _start(self) -> _Job:
        unit = int(self._sources[self._unit % len(self._sources)])
        self._unit += 1
        heap = self.pages(self.parameters.heap_share)
        first = int(heap * _FIRST_HEAP)
        process = start_program(self.kernel, self._compiler, self._libraries, _TEXT_PAGES, first)
        for file in dict.fromkeys([unit, *self._headers(unit).tolist()]):
            self.kernel.read(self.kernel.disk.index.pages_of(file, _SOURCE_PAGES))
        return _Job(process, unit, self.parameters.life_ms, heap)

    def _headers(self, unit: int) -> Numbers:
        """What a source file includes: a function of the file."""
        stream = Stream(self._unit_seed(unit))
        return self._sources[self._zipf.draw(stream, self.parameters.headers)]

    def _run(self, job: _Job, ms: float) -> None:
        missing = job.heap - len(job.process.heap)
        grown = round(missing * min(1.0, ms / job.left_ms))
        self.kernel.grow(job.process.heap, job.process.own_keys(grown))
        job.left_ms -= ms
        if job.left_ms <= 0:
            self._write_object(job)
            self.kernel.exit(job.process)
            self._jobs.remove(job)

    def _write_object(self, job: _Job) -> None:
        self.kernel.write_new(self._object_keys(job.unit, self.parameters.object_pages))

    def _object_keys(self, unit: int, count: int) -> Words:
        numbers = np.arange(count)
        alike = below(keys(self._unit_seed(unit) ^ 1, numbers), self.parameters.same_objects)
        return np.where(alike, keys(self._unit_seed(unit), numbers), self.fresh_keys(count))

    def _unit_seed(self, unit: int) -> int:
        return split_seed(int(self.kernel.disk.content_keys(np.array([unit]))[0]), "unit")
