"""What is scanned: anything that gives pages in pieces, be it contents or fingerprints made elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmdedup.scan.fingerprint import Hasher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray


class Piece:
    """Some pages of one region. region: its index. numbers: guest page numbers, ascending.

    load: from any thread, the contents of these pages, and how many times over: (n pages, 1) or (one page, n). They
    stay as they are until the same thread loads more.
    """

    __slots__ = ("load", "numbers", "region")

    def __init__(self, region: int, numbers: Sequence[int], load: Callable[[], tuple[bytes | memoryview, int]]) -> None:
        self.region, self.numbers, self.load = region, numbers, load

    def fingerprints(self, hasher: Hasher) -> list[bytes]:
        """One for each page. DumpError: the pages cannot be read."""
        content, times = self.load()
        return hasher.pages(content) * times


class Source:
    """One dump, opened; a base class.

    name: as the user wrote it. regions: (name, first guest page, pages). present: pages that pieces() gives.
    salt_id, zero: of fingerprints made elsewhere, their salt's name and the fingerprint of a page of zeros.
    """

    name: str
    format: str
    regions: Sequence[tuple[str, int, int]]
    present: int
    salt_id: str | None = None
    zero: bytes | None = None
    has_contents = True
    reserved = 0  # pages of addresses of a live process that hold nothing; in no region's count
    is_live = False  # the memory of processes of this machine
    is_light = False  # reading it takes no NumPy, and any range of it can be read

    @property
    def pages(self) -> int:
        """Pages of all regions, absent ones included."""
        return sum(pages for _, _, pages in self.regions)

    @property
    def full_name(self) -> str:
        """A name that says where it is from; for dumps that would be called the same."""
        return self.name

    def frames(self) -> NDArray[np.uint64] | None:
        """Of live memory, the frame of each page in the order of pieces(); None: not known."""
        return None

    def pieces(self) -> Iterator[Piece]:
        """Every present page once, in the same order each time."""
        raise NotImplementedError

    def range(self, first: int, after: int) -> Iterator[Piece]:
        """The pieces of pages first to after - 1, by their number in pieces(); light sources alone have it."""
        raise NotImplementedError

    def pick(self, wanted: Iterable[int]) -> Iterator[tuple[int, Piece, int]]:
        """Where pages are that are wanted by their number in pieces(): that number, a piece, and the row in it."""
        left, before = sorted(wanted, reverse=True), 0
        for piece in self.pieces() if left else ():
            after = before + len(piece.numbers)
            while left and left[-1] < after:
                yield left[-1], piece, left.pop() - before
            if not left:
                return
            before = after

    def close(self) -> None:
        """Let go of the file."""
        raise NotImplementedError
