"""What a workload is: work done for each millisecond of virtual time, at stated rates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np

from vmdedup.guest.index import Numbers
from vmdedup.guest.parameters import Value
from vmdedup.guest.seeds import Stream, keys, split_seed

if TYPE_CHECKING:
    from vmdedup.guest.guestkernel import GuestKernel
    from vmdedup.guest.process import Process

P = TypeVar("P")
PAGES_PER_MIB = 256
# The boot of a guest whose workload wants most of the memory for itself.
SMALL_BOOT: Mapping[str, Value] = {"processes": 4, "heap_share": 0.02, "cache_share": 0.1}


class Budget:
    """Turns a rate into whole units of work, keeping the fraction for the next step. rate: units a second."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._left = 0.0

    def due(self, ms: float) -> int:
        """Units due after ms more milliseconds."""
        self._left += self.rate * ms / 1000.0
        units = int(self._left)
        self._left -= units
        return units


class Workload(ABC, Generic[P]):
    """One workload of one boot of a guest.

    name: as in a scenario. Parameters: the dataclass that declares its parameters. boot: parameters
    of the boot before it, where they differ from the boot's own defaults. eager: in free running, it does
    not keep to virtual time but works as fast as it can. stream: its own random stream; shared: a seed that
    all guests of the same disk have in common.
    """

    name: ClassVar[str]
    Parameters: ClassVar[type[Any]]
    boot: ClassVar[Mapping[str, Value]] = {}
    eager: ClassVar[bool] = False

    def __init__(self, kernel: GuestKernel, parameters: P) -> None:
        self.kernel = kernel
        self.parameters = parameters
        self.stream = Stream(split_seed(kernel.seed, "workload", self.name))
        self.shared = split_seed(kernel.disk.identity, self.name)
        self._written = 0
        self.setup()

    def setup(self) -> None:
        """What is done once, when the workload starts."""

    @abstractmethod
    def step(self, ms: float) -> None:
        """Do the work of ms milliseconds of virtual time."""

    def burst(self) -> None:
        """A few milliseconds' worth of work at full speed. Only for workloads that are eager."""
        raise NotImplementedError

    def verify(self) -> int:
        """Read back what only this workload knows. Returns pages verified. Raises GuestError."""
        return 0

    def fresh_keys(self, count: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
        """Content keys that nothing else draws."""
        first = self._written
        self._written += count
        return keys(split_seed(self.stream.seed, "fresh"), np.arange(first, self._written))

    def pages(self, share: float) -> int:
        """Pages in a share of the guest's memory, or of what Linux leaves of it."""
        return int(share * (self.kernel.memory.pages - self.kernel.own.kept))

    def of_memory(self, share: float) -> int:
        """Pages in a share of all memory."""
        return int(share * self.kernel.memory.pages)

    @staticmethod
    def mib(mib: float) -> int:
        """Pages in so many MiB."""
        return int(mib * PAGES_PER_MIB)


def program_text(kernel: GuestKernel, files: Numbers, limit: int) -> Numbers:
    """The file pages that a program and its libraries map: the first limit pages of each of the files."""
    index = kernel.disk.index
    return np.concatenate([index.pages_of(file, limit) for file in dict.fromkeys(files.tolist())])


def start_program(kernel: GuestKernel, program: int, libraries: Numbers, limit: int, heap: int) -> Process:
    """Start the program in a file. libraries: files. limit: pages mapped of each. heap: pages at first."""
    files = np.concatenate(([program], libraries)).astype(np.int64)
    name = int(kernel.disk.content_keys(files[:1])[0])
    return kernel.spawn(program_text(kernel, files, limit), name, heap)


def rank(stream_seed: int, files: Numbers) -> Numbers:
    """Files in an order of their own, alike for equal seeds and numbers of files."""
    return files[Stream(stream_seed).permutation(len(files))]
