"""The fingerprints of all pages, twice: in the order of the pages, and parted by their first bits.

Equal pages have equal fingerprints, so they are in the same part, and parts can be counted one after the other. Memory
that takes goes by the different contents of a part, not by the pages.
"""

from __future__ import annotations

from itertools import chain
from struct import iter_unpack

from vmdedup.scan.fingerprint import SIZE
from vmdedup.scan.spool import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PART_PAGES = 1024  # of a part, about: what counting them takes is then some hundred KiB
MOST_PARTS, LEAST_PARTS = 256, 16
LEAST_CHUNK, MOST_CHUNK = 2048, 1 << 17  # bytes put aside at once
STREAM_CHUNK = 1 << 14
LOOK_EVERY = 1024  # pages
CHUNKS = 16  # of a part, about


class Partitions:
    """Fingerprints by part and dump, zeros only counted.

    pages: about how many will come. spool: where they are put aside. zero: the fingerprint of a page of zeros.
    zeros: pages of zeros, by dump.
    """

    def __init__(self, pages: int, spool: Spool, zero: bytes) -> None:
        self.parts = LEAST_PARTS
        while self.parts < MOST_PARTS and self.parts * PART_PAGES < pages:
            self.parts *= 2
        self.zeros = [0]
        self._most = min(max(pages * SIZE // self.parts // CHUNKS, LEAST_CHUNK), MOST_CHUNK)
        self._spool, self._zero = spool, zero
        self._unseen = 0  # pages since the last look at how much is waiting
        self._waiting = [bytearray() for _ in range(self.parts)]
        self._chunks: list[list[tuple[int, int, int]]] = [[] for _ in range(self.parts)]  # dump, place, length
        repeated = MOST_PARTS // self.parts
        self._adders: list[Callable[[bytes], None]] = [part.extend for part in self._waiting for _ in range(repeated)]

    def add(self, fingerprints: Sequence[bytes]) -> None:
        """The fingerprints of the dump's next pages."""
        zeros = fingerprints.count(self._zero)
        self.zeros[-1] += zeros
        if zeros == len(fingerprints):
            return
        adders = self._adders
        for fingerprint in without(fingerprints, self._zero) if zeros else fingerprints:
            adders[fingerprint[0]](fingerprint)
        self._unseen += len(fingerprints)
        if self._unseen >= LOOK_EVERY:
            self._put_aside(self._most)

    def end_dump(self) -> None:
        """What comes now is the next dump's."""
        self._put_aside(least=1)
        self.zeros.append(0)

    def _put_aside(self, least: int) -> None:
        """Parts of which so many bytes are waiting."""
        self._unseen = 0
        for waiting, chunks in zip(self._waiting, self._chunks, strict=True):
            if len(waiting) >= least:
                chunks.append((len(self.zeros) - 1, self._spool.put(waiting), len(waiting)))
                waiting.clear()

    def each(self, part: int, dump: int | None = None) -> Iterator[bytes]:
        """The fingerprints of a part, of one dump or of all, in the order of pages."""
        for owner, at, length in self._chunks[part]:
            if dump is None or owner == dump:
                yield from chain.from_iterable(iter_unpack(f"{SIZE}s", self._spool.get(at, length)))


def without(fingerprints: Sequence[bytes], zero: bytes) -> list[bytes]:
    """Those that are not of zeros."""
    return [fingerprint for fingerprint in fingerprints if fingerprint != zero]


class Stream:
    """The fingerprints in the order of pages, dump after dump."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._open = bytearray()
        self._chunks: list[tuple[int, int]] = []
        self.starts = [0]  # by dump: its first page's place in the stream; at the end, how many there are
        self._put = 0

    def add(self, fingerprints: Sequence[bytes]) -> None:
        """The fingerprints of the dump's next pages."""
        self._open += b"".join(fingerprints)
        if len(self._open) >= STREAM_CHUNK:
            self._chunks.append((self._spool.put(self._open), len(self._open)))
            self._put += len(self._open)
            self._open.clear()

    def end_dump(self) -> None:
        """What comes now is the next dump's."""
        self.starts.append((self._put + len(self._open)) // SIZE)

    def chunks(self, dump: int) -> Iterator[tuple[int, bytes]]:
        """The dump's fingerprints in pieces, each with the number of pages of this dump that come before it."""
        start, end, at = self.starts[dump] * SIZE, self.starts[dump + 1] * SIZE, 0
        for number, length in chain(self._chunks, [(-1, len(self._open))]):
            low, high = max(start, at), min(end, at + length)
            if low < high:
                chunk = bytes(self._open) if number < 0 else self._spool.get(number, length)
                yield (low - start) // SIZE, chunk[low - at : high - at]
            at += length

    def find(self, dump: int, fingerprint: bytes) -> int | None:
        """The number, in its dump, of the first page with this fingerprint."""
        for before, chunk in self.chunks(dump):
            at = chunk.find(fingerprint)
            while at % SIZE and at >= 0:
                at = chunk.find(fingerprint, at + 1)
            if at >= 0:
                return before + at // SIZE
        return None
