"""Going through all pages once, on all cores where that pays."""

from __future__ import annotations

import os
from collections import deque

from vmdedup.scan.fingerprint import Hasher
from vmdedup.scan.partitions import Partitions, Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeVar

    from vmdedup.scan.source import Source

    T = TypeVar("T")
    R = TypeVar("R")
    Watch = Callable[[int, int], None]  # pages read so far, pages in all
    Stop = Callable[[], bool]

WORTH_THREADS = 1 << 19  # pages of raw files: below, one core is done before threads would have paid
AHEAD = 2  # pieces under way for each thread


def choose_threads(sources: Sequence[Source]) -> int:
    """One for a few raw files, else one for each core that this process may use."""
    if all(source.is_light for source in sources) and sum(source.present for source in sources) < WORTH_THREADS:
        return 1
    return max(1, len(os.sched_getaffinity(0)))


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
    """What is made of all pages: their fingerprints, parted and in order. interrupted: not all of them were read."""

    def __init__(self, parts: Partitions, stream: Stream) -> None:
        self.parts, self.stream = parts, stream
        self.interrupted = False
        self.done = 0

    def read(self, sources: Sequence[Source], hasher: Hasher, threads: int, watch: Watch, stop: Stop) -> None:
        """Read all sources, until stop() says so. DumpError: one of them is damaged."""
        total = sum(source.present for source in sources)
        for source in sources:
            found = in_order(source.pieces(), lambda piece: piece.fingerprints(hasher), threads)
            for fingerprints in found:
                if self.interrupted or stop():
                    self.interrupted = True
                    break
                self.parts.add(fingerprints)
                self.stream.add(fingerprints)
                self.done += len(fingerprints)
                watch(self.done, total)
            self.parts.end_dump()
            self.stream.end_dump()
