"""Programs by name: what a process reads and maps of them, if the guest's disk has them."""

from __future__ import annotations

import numpy as np

from vmdedup.guest.guestkernel import GuestKernel
from vmdedup.guest.index import Numbers
from vmdedup.guest.kinds import FileKind
from vmdedup.guest.process import Process
from vmdedup.guest.workloads.base import start_program

_TEXT_PAGES = 128
_HOT = 3  # one page of so many is mapped for good: the others were read beside it (read-around) or once


def file_paths(kernel: GuestKernel) -> list[str]:
    """The paths of all files of the guest's disk, by file."""
    index = kernel.disk.index
    return [index.path(file) for file in range(index.files)]


def run_program(kernel: GuestKernel, paths: list[str], names: tuple[str, ...], heap: int) -> Process:
    """Start a process of the program and the libraries whose files begin so; of some program, if there are none.

    heap: pages.
    """
    index = kernel.disk.index
    files = [file for file, path in enumerate(paths) if path.rpartition("/")[2].startswith(names)]
    if not files:
        programs, libraries = index.of_kind(FileKind.PROGRAM), index.of_kind(FileKind.LIBRARY)
        return start_program(kernel, int(programs[len(names[0]) % len(programs)]), libraries[:4], _TEXT_PAGES, heap)
    pages = np.concatenate([index.pages_of(file) for file in files])
    kernel.read(pages)
    return kernel.spawn(pages[::_HOT], int(kernel.disk.content_keys(np.array(files[:1]))[0]), heap)


def numbers_of(paths: list[str], chosen: list[str]) -> Numbers:
    """The files of the chosen paths."""
    places = {path: file for file, path in enumerate(paths)}
    return np.array([places[path] for path in chosen], dtype=np.int64)
