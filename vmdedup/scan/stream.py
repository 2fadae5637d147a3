"""The fingerprints of all pages in their order, dump after dump: to find where a content stands, and to export them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmdedup.scan.fingerprint import SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vmdedup.scan.spool import Spool

    State = tuple[list[int], list[tuple[int, int]]]

CHUNK = 1 << 14  # bytes put aside at once


class Stream:
    """counts: by dump, how many pages came. spool: where they are put aside."""

    def __init__(self, dumps: int, spool: Spool) -> None:
        self.counts = [0] * dumps
        self._waiting = bytearray()
        self._chunks: list[tuple[Spool, int, int]] = []
        self._spool = spool

    def add(self, dump: int, fingerprints: Sequence[bytes]) -> None:
        """The fingerprints of a dump's next pages; dumps come one after the other."""
        self.counts[dump] += len(fingerprints)
        self._waiting += b"".join(fingerprints)
        if len(self._waiting) >= CHUNK:
            self.put_aside()

    def put_aside(self) -> None:
        """All that is waiting. It has to be before the stream is read."""
        if self._waiting:
            self._chunks.append((self._spool, self._spool.put(self._waiting), len(self._waiting)))
            self._waiting.clear()

    def state(self) -> State:
        """What another process needs to know, beside the spool, of what came here."""
        self.put_aside()
        return self.counts, [(at, length) for _, at, length in self._chunks]

    def absorb(self, state: State, spool: Spool) -> None:
        """Take over what another process was given: pages that come after those given here."""
        counts, chunks = state
        self.put_aside()
        self.counts = [one + two for one, two in zip(self.counts, counts, strict=True)]
        self._chunks += [(spool, at, length) for at, length in chunks]

    def chunks(self, dump: int) -> Iterator[tuple[int, bytes]]:
        """The dump's fingerprints in pieces, each with the number of pages of this dump that come before it."""
        start, at = sum(self.counts[:dump]) * SIZE, 0
        end = start + self.counts[dump] * SIZE
        for spool, place, length in self._chunks:
            low, high = max(start, at), min(end, at + length)
            if low < high:
                yield (low - start) // SIZE, spool.get(place, length)[low - at : high - at]
            at += length

    def find(self, dump: int, wanted: Iterable[bytes]) -> dict[int, bytes]:
        """The first page, by its number in the dump, of each of these fingerprints that is there."""
        left, found = set(wanted), {}
        for before, chunk in self.chunks(dump) if left else ():
            for fingerprint in sorted(left):
                at = chunk.find(fingerprint)
                while at >= 0 and at % SIZE:
                    at = chunk.find(fingerprint, at + 1)
                if at >= 0:
                    found[before + at // SIZE] = fingerprint
                    left.remove(fingerprint)
            if not left:
                break
        return found
