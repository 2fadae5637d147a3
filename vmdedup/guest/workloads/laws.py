"""The laws of the workloads that real guests do too: what is read and written, in which order, from which seed.

One text for both bodies. The emulated guest imports it; a real guest gets it as a file beside the program that does the
work. So it uses Python's own library alone, and draws with random.Random, which draws the same everywhere. Paths are
relative to the root of the guest's files; where a disk is only what others have below /usr, `usr/` is missing in front.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Iterable
from itertools import accumulate

PAGE = 4096
ROW_BYTES = 1024  # of the web server's database
ROWS_PAGE = 3  # such rows in a page of it
OWN_PAGES = 1024  # of the file that a file server rewrites
UNIT_FILES = 8  # sources that one compiler takes
SERVED, LIBRARIES = ("usr/share/", "share/"), ("usr/lib/python3", "lib/python3", "src/")
BINARIES = ("usr/", "bin/", "lib/", "libexec/", "sbin/", "share/")


class WebDb:
    """Files are asked for, each as often as the others; rows of a database are changed, each as often as the others."""

    def __init__(self, paths: Iterable[str], seed: int) -> None:
        """paths: of all files of the guest; only those below share/ are served."""
        self.files = sorted(path for path in paths if path.startswith(SERVED))
        self._requests, self._rows = random.Random(seed), random.Random(seed + 1)

    def request(self) -> str:
        """The file that is asked for next."""
        return self._requests.choice(self.files)

    def row(self, rows: int) -> int:
        """The row that is changed next, of so many."""
        return self._rows.randrange(rows)


class FileServer:
    """Files are read under a Zipf law, by a hash of their paths; pages of one file are rewritten."""

    def __init__(self, paths: Iterable[str], seed: int, files: int, zipf: float, ranking: int = 0) -> None:
        """files: how many are served at most. zipf: the file of rank r is asked for in proportion to 1 / r**zipf.

        ranking: others have another order.
        """

        def rank(path: str) -> bytes:
            return hashlib.blake2b(f"{ranking} {path}".encode("utf-8", "surrogateescape"), digest_size=8).digest()

        self.files = heapq.nsmallest(files, (path for path in paths if path.startswith(BINARIES)), key=rank)
        self._weights = list(accumulate(1 / rank**zipf for rank in range(1, len(self.files) + 1)))
        self._reads, self._writes = random.Random(seed), random.Random(seed + 1)

    def request(self) -> str:
        """The file that is read next."""
        return self._reads.choices(self.files, cum_weights=self._weights)[0]

    def page(self) -> int:
        """The page of the server's own file that is written next."""
        return self._writes.randrange(OWN_PAGES)


class Build:
    """The sources of Python's library are compiled, some at a time, over and over."""

    def __init__(self, paths: Iterable[str]) -> None:
        sources = sorted(path for path in paths if path.startswith(LIBRARIES) and path.endswith((".py", ".c")))
        self.units = [sources[start : start + UNIT_FILES] for start in range(0, len(sources), UNIT_FILES)]
        self._next = 0

    def unit(self) -> list[str]:
        """The files that the next compiler takes."""
        self._next += 1
        return self.units[(self._next - 1) % len(self.units)]
