"""Fingerprints parted by their first bits: equal pages are in the same part, so parts can be counted one by one.

Memory that takes goes by the different contents of a part, not by the pages.
"""

from __future__ import annotations

from itertools import chain
from struct import Struct
from typing import TYPE_CHECKING

from vmdedup.scan.fingerprint import SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vmdedup.scan.spool import Spool

    State = tuple[list[int], list[list[tuple[int, int, int]]]]

PART_PAGES = 1024  # of a part, about: what counting them takes is then some hundred KiB
MOST_PARTS, LEAST_PARTS = 256, 16
LEAST_CHUNK, MOST_CHUNK = 1024, 1 << 17  # bytes put aside at once
CHUNKS = 16  # of a part, about
LOOK_EVERY = 1024  # pages
unpack = Struct(f"{SIZE}s").iter_unpack


class Partitions:
    """Fingerprints by part and dump, zeros only counted.

    pages: about how many will come, of so many dumps. spool: where they are put aside. zero: the fingerprint of a page
    of zeros. zeros: pages of zeros, by dump.
    """

    def __init__(self, pages: int, dumps: int, spool: Spool, zero: bytes) -> None:
        self.parts = LEAST_PARTS
        while self.parts < MOST_PARTS and self.parts * PART_PAGES < pages:
            self.parts *= 2
        self.zeros = [0] * dumps
        self._zero, self._dump = zero, 0
        self._most = min(max(pages * SIZE // self.parts // CHUNKS, LEAST_CHUNK), MOST_CHUNK)
        self._spools = [spool]
        self._unseen = 0  # pages since the last look at how much is waiting
        self._waiting = [bytearray() for _ in range(self.parts)]
        # By spool and part: dump, place, length.
        self._chunks: list[list[list[tuple[int, int, int]]]] = [[[] for _ in range(self.parts)]]
        repeated = MOST_PARTS // self.parts
        self._adders: list[Callable[[bytes], None]] = [part.extend for part in self._waiting for _ in range(repeated)]

    def add(self, dump: int, fingerprints: Sequence[bytes]) -> None:
        """The fingerprints of a dump's next pages; dumps come one after the other."""
        if dump != self._dump:
            self.put_aside()
            self._dump = dump
        zeros = fingerprints.count(self._zero)
        self.zeros[dump] += zeros
        if zeros == len(fingerprints):
            return
        adders = self._adders
        for fingerprint in _without(fingerprints, self._zero) if zeros else fingerprints:
            adders[fingerprint[0]](fingerprint)
        self._unseen += len(fingerprints)
        if self._unseen >= LOOK_EVERY:
            self.put_aside(self._most)

    def put_aside(self, least: int = 1) -> None:
        """Parts of which so many bytes are waiting. All of it has to be before each() is asked."""
        self._unseen = 0
        for waiting, chunks in zip(self._waiting, self._chunks[0], strict=True):
            if len(waiting) >= least:
                chunks.append((self._dump, self._spools[0].put(waiting), len(waiting)))
                waiting.clear()

    def state(self) -> State:
        """What another process needs to know, beside the spool, of what came here."""
        self.put_aside()
        return self.zeros, self._chunks[0]

    def absorb(self, state: State, spool: Spool) -> None:
        """Take over what another process was given: pages that come after those given here."""
        zeros, chunks = state
        self.zeros = [one + two for one, two in zip(self.zeros, zeros, strict=True)]
        self._spools.append(spool)
        self._chunks.append(chunks)

    def each(self, part: int, dump: int) -> Iterator[bytes]:
        """The fingerprints of a part in a dump."""
        chunks = (
            spool.get(at, length)
            for spool, parts in zip(self._spools, self._chunks, strict=True)
            for owner, at, length in parts[part]
            if owner == dump
        )
        return chain.from_iterable(chain.from_iterable(map(unpack, chunks)))


def _without(fingerprints: Sequence[bytes], zero: bytes) -> list[bytes]:
    """Those that are not of zeros."""
    return [fingerprint for fingerprint in fingerprints if fingerprint != zero]
