"""build: compiles the sources of Python's library, some at a time, over and over: laws.py, as in a real guest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vmdedup.guest.parameters import parameter
from vmdedup.guest.process import Process
from vmdedup.guest.seeds import keys, split_seed
from vmdedup.guest.workloads.base import Budget, Workload
from vmdedup.guest.workloads.laws import Build as Law
from vmdedup.guest.workloads.programs import Program, file_paths, numbers_of

_COMPILER = ("python3",)
_FIRST_HEAP = 0.15  # of a compiler's heap is there when it starts
_SPIKE = 0.2  # of its life, at its end, in which the rest comes
_SOURCE_PAGES = 256  # at most so much is read of one file


@dataclass(frozen=True)
class BuildParameters:
    """Parameters of build."""

    jobs: int = parameter(4, "", "compilers running at a time, at most", low=1, high=1000)
    starts_s: float = parameter(0.12, "1/s", "compilers started, at most")
    life_ms: float = parameter(9_000.0, "ms", "how long each runs", low=1)
    compiler_mib: float = parameter(18.0, "MiB", "heap of a compiler at its end, at most a seventh of memory")
    program_mib: float = parameter(5.0, "MiB", "heap of the program that starts them, at most a tenth of memory")


@dataclass
class _Job:
    process: Process
    files: list[int]
    left_ms: float


class Build(Workload[BuildParameters]):
    """Short-lived processes read sources, grow, and write what they have made of them."""

    name = "build"
    Parameters = BuildParameters

    def setup(self) -> None:
        """Find the sources; start the program."""
        given = self.parameters
        self._law = Law(file_paths(self.kernel))
        self._numbers = numbers_of(self.kernel, [path for unit in self._law.units for path in unit])
        self.kernel.look_up(len(self._numbers))
        self._compiler = Program.find(self.kernel, _COMPILER)
        self._compiler.start(self.kernel, min(self.mib(given.program_mib), self.of_memory(0.1)))
        self._heap = min(self.mib(given.compiler_mib), self.of_memory(1 / 7))
        self._starts = Budget(given.starts_s)
        self._waiting = 0
        self._jobs: list[_Job] = []

    def step(self, ms: float) -> None:
        """Let the running compilers grow and end, then start what is due."""
        for job in self._jobs[:]:
            self._run(job, ms)
        self._waiting = min(self._waiting + self._starts.due(ms), self.parameters.jobs)
        while self._waiting and self._numbers and len(self._jobs) < self.parameters.jobs:
            self._waiting -= 1
            self._jobs.append(self._start())

    def _start(self) -> _Job:
        files = [self._numbers[path] for path in self._law.unit()]
        process = self._compiler.start(self.kernel, int(_FIRST_HEAP * self._heap))
        for file in files:
            self.kernel.read(self.kernel.disk.index.pages_of(file, _SOURCE_PAGES))
        return _Job(process, files, self.parameters.life_ms)

    def _run(self, job: _Job, ms: float) -> None:
        job.left_ms -= ms
        left = max(0.0, job.left_ms) / (_SPIKE * self.parameters.life_ms)
        wanted = int(self._heap * max(_FIRST_HEAP, 1 - (1 - _FIRST_HEAP) * left))
        self.kernel.grow(job.process.heap, job.process.own_keys(max(0, wanted - len(job.process.heap))))
        if job.left_ms <= 0:
            for file in job.files:
                self._write(file)
            self.kernel.exit(job.process)
            self._jobs.remove(job)

    def _write(self, file: int) -> None:
        """What is made of a source is as long, and the same in every guest."""
        content = int(self.kernel.disk.content_keys(np.array([file]))[0])
        pages = len(self.kernel.disk.index.pages_of(file, _SOURCE_PAGES))
        self.kernel.write_new(keys(split_seed(content, "made"), np.arange(pages)))
