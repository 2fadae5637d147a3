"""What the page cache of a built image's guest holds when it is up: read from dumps of guests that were.

booted/NAME.txt: a line a file, in the order in which they lie in memory: its path and its pages. Made by `python -m
benchmarks.composition --booted`; four boots of one image, in guests of 128 and 256 MiB, held the very same pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vmdedup.guest.index import FileIndex, Numbers, path_key

_FOLDER = Path(__file__).parent / "booted"


def booted_pages(index: FileIndex, image: str, in_memory: bool) -> Numbers | None:
    """The disk pages that a booted guest of that image has cached; None: not known.

    in_memory: its files lie in memory, all of them, and nowhere else.
    """
    if in_memory:
        return np.arange(index.pages, dtype=np.int64)
    path = _FOLDER / f"{image}.txt"
    if not path.is_file():
        return None
    found = [pages for line in path.read_text().splitlines() for pages in _pages(index, line)]
    return np.concatenate(found) if found else None


def _pages(index: FileIndex, line: str) -> Iterator[Numbers]:
    """The pages of one line that the disk has; an image that is built anew may have other versions of files."""
    name, _, runs = line.rpartition(" ")
    for file in np.flatnonzero(index.keys == np.uint64(path_key(name.encode()))).tolist():
        first, end = (int(page) for page in index.first_pages[file : file + 2])
        for run in runs.split(","):
            start, _, last = run.partition("-")
            yield np.arange(first + int(start), min(end, first + int(last or start) + 1), dtype=np.int64)
