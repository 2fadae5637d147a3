"""Files and programs by name: what a workload finds on its guest's disk, and what a process reads and maps of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vmdedup.guest.guestkernel import GuestKernel
from vmdedup.guest.index import Numbers, path_key
from vmdedup.guest.kinds import FileKind
from vmdedup.guest.process import Process
from vmdedup.guest.workloads.base import start_program

_TEXT_PAGES = 128
_HOT = 3  # one page of so many is mapped for good: the others were read beside it (read-around) or once


def file_paths(kernel: GuestKernel) -> Iterator[str]:
    """The paths of all files of the guest's disk; a disk may list a hundred thousand, so they are never all kept."""
    index = kernel.disk.index
    return (index.path(file) for file in range(index.files))


def numbers_of(kernel: GuestKernel, paths: Sequence[str]) -> dict[str, int]:
    """The file of each of these paths, which the disk has."""
    keys = kernel.disk.index.keys
    order = np.argsort(keys)
    wanted = np.array([path_key(path.encode("utf-8", "surrogateescape")) for path in paths], dtype=np.uint64)
    files = order[np.searchsorted(keys, wanted, sorter=order)]
    return dict(zip(paths, files.tolist(), strict=True))


@dataclass(frozen=True)
class Program:
    """files: of the program and its libraries. known: whether the disk has them; else they stand in for these."""

    files: Numbers
    known: bool

    @classmethod
    def find(cls, kernel: GuestKernel, names: tuple[str, ...]) -> Program:
        """The files whose names begin so, in the disk's order; some program and libraries, if there are none."""
        index = kernel.disk.index
        paths = enumerate(file_paths(kernel))
        files = [file for file, path in paths if path.rpartition("/")[2].startswith(names)]
        if files:
            return cls(np.array(files, dtype=np.int64), True)
        programs, libraries = index.of_kind(FileKind.PROGRAM), index.of_kind(FileKind.LIBRARY)
        return cls(np.concatenate((programs[len(names) % len(programs) :][:1], libraries[:4])), False)

    def start(self, kernel: GuestKernel, heap: int) -> Process:
        """A process of it, at work. heap: pages at first."""
        process = self._process(kernel, heap)
        process.awake = True
        return process

    def _process(self, kernel: GuestKernel, heap: int) -> Process:
        if not self.known:
            return start_program(kernel, int(self.files[0]), self.files[1:], _TEXT_PAGES, heap)
        pages = np.concatenate([kernel.disk.index.pages_of(file) for file in self.files.tolist()])
        kernel.read(pages)
        return kernel.spawn(pages[::_HOT], int(kernel.disk.content_keys(self.files[:1])[0]), heap)
