"""Going through all pages once, on all cores where that pays."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from vmdedup.limits import cores
from vmdedup.scan.child import Child, can_fork
from vmdedup.scan.fingerprint import SIZE, Hasher
from vmdedup.scan.partitions import Partitions
from vmdedup.scan.spool import Spool
from vmdedup.scan.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any, TypeVar

    from vmdedup.scan.source import Piece, Source

    T = TypeVar("T")
    R = TypeVar("R")
    Watch = Callable[[int, int], None]  # pages read so far, pages in all
    Stop = Callable[[], bool]
    Pieces = Iterable[tuple[int, Piece]]  # with the number of their dump

WORTH_FORKING = 1 << 14  # pages
AHEAD = 2  # pieces under way for each thread


def in_order(items: Iterator[T], work: Callable[[T], R], threads: int) -> Iterator[R]:
    """work(item) for all items, in their order, by so many threads; few are done before they are asked for."""
    if threads == 1:
        yield from map(work, items)
        return
    from concurrent.futures import Future, ThreadPoolExecutor

    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class Reading:
    """What is made of all pages: their fingerprints, parted and in order. interrupted: not all of them were read.

    memory: bytes of fingerprints that stay in memory. zero: the fingerprint of a page of zeros.
    """

    def __init__(self, sources: Sequence[Source], hasher: Hasher, memory: int, zero: bytes) -> None:
        self._sources, self._hasher = sources, hasher
        self.pages = sum(source.present for source in sources)
        self._in_memory = memory >= 2 * SIZE * self.pages
        self._spools = [Spool(memory)]
        self._zero = zero
        self.parts = Partitions(self.pages, len(sources), self._spools[0], zero)
        self.stream = Stream(len(sources), self._spools[0])
        self.interrupted = False
        self.done = 0

    def read(self, threads: int | None, watch: Watch, stop: Stop) -> None:
        """Read all dumps, until stop() says so. threads: None chooses. DumpError: one of them is damaged."""
        if threads is None and self.can_halve():
            self._read_halves(watch, stop)
        else:
            light = all(source.is_light for source in self._sources)
            self._take(_numbered(self._sources), threads or (1 if light else cores()), watch, stop)
        self.parts.put_aside()
        self.stream.put_aside()

    def can_halve(self) -> bool:
        """Whether another process can do half of the work."""
        light = all(source.is_light for source in self._sources)
        return light and self.pages >= WORTH_FORKING and not self._in_memory and can_fork()

    def _read_halves(self, watch: Watch, stop: Stop) -> None:
        """The first half of the pages here, the others in a child; its spool is opened here, so both have it."""
        middle = self.pages // 2
        spool = Spool(0)
        self._spools.append(spool)
        spool.open()
        child = Child(lambda is_orphan: self._second_half(middle, spool, is_orphan))
        try:
            self._take(_numbered(self._sources, 0, middle), 1, lambda done, total: watch(2 * done, total), stop)
            if not self.interrupted:
                parts, stream, size = child.result()
                spool.size = size
                self.parts.absorb(parts, spool)
                self.stream.absorb(stream, spool)
        finally:
            child.kill()

    def _second_half(self, middle: int, spool: Spool, stop: Stop) -> Any:
        """In the child."""
        self.parts = Partitions(self.pages, len(self._sources), spool, self._zero)
        self.stream = Stream(len(self._sources), spool)
        self._take(_numbered(self._sources, middle, self.pages), 1, lambda done, total: None, stop)
        return self.parts.state(), self.stream.state(), spool.size

    def _take(self, pieces: Pieces, threads: int, watch: Watch, stop: Stop) -> None:
        """Make and keep the fingerprints of these pieces."""
        hasher = self._hasher
        for dump, fingerprints in in_order(iter(pieces), lambda p: (p[0], p[1].fingerprints(hasher)), threads):
            if stop():
                self.interrupted = True
                break
            self.parts.add(dump, fingerprints)
            self.stream.add(dump, fingerprints)
            self.done += len(fingerprints)
            watch(self.done, self.pages)

    def close(self) -> None:
        """Let go of what was put aside."""
        for spool in self._spools:
            spool.close()


def _numbered(sources: Sequence[Source], first: int = 0, after: int | None = None) -> Iterator[tuple[int, Piece]]:
    """The pieces of all dumps with their dump's number; of light dumps also of a range of pages over all."""
    if after is None:
        for dump, source in enumerate(sources):
            yield from ((dump, piece) for piece in source.pieces())
        return
    before = 0
    for dump, source in enumerate(sources):
        low, high = max(first - before, 0), min(after - before, source.present)
        if low < high:
            yield from ((dump, piece) for piece in source.range(low, high))
        before += source.present
