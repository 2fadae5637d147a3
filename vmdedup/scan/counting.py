"""Counting contents: how many there are, how often, in which dumps. Pages of zeros are kept apart.

All figures are sums over the parts of partitions.py: no more than the contents of one part are in memory as objects.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING

from vmdedup.scan.child import Child

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vmdedup.scan.partitions import Partitions
    from vmdedup.scan.reading import Stop

    Frequent = tuple[int, bytes, tuple[int, ...]]
    Pair = tuple[int, int]
    State = tuple[tuple[list[int], ...], Pair, dict[Pair, int], dict[Pair, Pair], list[Frequent]]


class Tally:
    """What was counted of `dumps` dumps; only pages that are not zero, but for `zero`.

    zero, pages, distinct, shared: by dump; shared: contents that this dump alone has more than once.
    total_distinct, total_shared: over all dumps. contents[a, b]: contents that dumps a and b (a < b) both have;
    common[a, b]: pages of a whose content b has, and pages of b whose content a has.
    frequent: the most frequent contents as (copies, fingerprint, copies by dump), at most `top`.
    """

    def __init__(self, dumps: int, top: int) -> None:
        self.dumps, self.top = dumps, top
        self.zero, self.pages, self.distinct, self.shared = ([0] * dumps for _ in range(4))
        self.total_distinct = self.total_shared = 0
        self.contents: dict[Pair, int] = {}
        self.common: dict[Pair, Pair] = {}
        self.frequent: list[Frequent] = []

    def add(self, part: Sequence[Iterable[bytes]]) -> None:
        """Count a part: by dump, its fingerprints."""
        counters = [Counter(fingerprints) for fingerprints in part]
        repeats = [_repeats(counter) for counter in counters]
        seen: set[bytes] = set()
        several: set[bytes] = set()  # contents that there are more than one of
        for dump, counter in enumerate(counters):
            self.pages[dump] += counter.total()
            self.distinct[dump] += len(counter)
            self.shared[dump] += len(repeats[dump])
            several.update(seen.intersection(counter), repeats[dump])
            seen.update(counter)
        self.total_distinct += len(seen)
        self.total_shared += len(several)
        having = [several.intersection(counter) for counter in counters]
        self._pair(having, repeats)
        self._choose(having, repeats, counters)

    def state(self) -> State:
        """All figures but zeros, as plain values."""
        by_dump, total = (self.pages, self.distinct, self.shared), (self.total_distinct, self.total_shared)
        return by_dump, total, self.contents, self.common, self.frequent

    def absorb(self, state: State) -> None:
        """Add what was counted of other parts."""
        by_dump, total, contents, common, frequent = state
        self.pages, self.distinct, self.shared = (
            [one + two for one, two in zip(here, there, strict=True)]
            for here, there in zip((self.pages, self.distinct, self.shared), by_dump, strict=True)
        )
        self.total_distinct += total[0]
        self.total_shared += total[1]
        for pair, count in contents.items():
            self._add_pair(pair, count, common[pair])
        self.frequent = sorted(chain(self.frequent, frequent), key=_rank)[: self.top]

    def _add_pair(self, pair: Pair, contents: int, pages: Pair) -> None:
        one, two = self.common.get(pair, (0, 0))
        self.contents[pair] = self.contents.get(pair, 0) + contents
        self.common[pair] = one + pages[0], two + pages[1]

    def _pair(self, having: Sequence[set[bytes]], repeats: Sequence[Counter[bytes]]) -> None:
        """Who has what in common with whom. having: by dump, its contents that there are several of in all."""
        for b, later in enumerate(having):
            for a, earlier in enumerate(having[:b]):
                both = earlier & later
                if both:
                    self._add_pair((a, b), len(both), (_pages(both, repeats[a]), _pages(both, repeats[b])))

    def _choose(
        self, having: Sequence[set[bytes]], repeats: Sequence[Counter[bytes]], counters: Sequence[Counter[bytes]]
    ) -> None:
        """Keep the most frequent; of equally frequent ones those of the lowest fingerprints."""
        if not self.top:
            return
        copies = Counter(chain.from_iterable(having))
        for repeated in repeats:
            copies.update(repeated)
        least = self.frequent[-1][0] if len(self.frequent) == self.top else 2
        found = sorted((-count, content) for content, count in copies.items() if count >= least)
        new = ((-n, content, tuple(c[content] for c in counters)) for n, content in found[: self.top])
        self.frequent = sorted(chain(self.frequent, new), key=_rank)[: self.top]


def tally(parts: Partitions, top: int, halves: bool) -> Tally:
    """Count all parts. halves: every other part in another process."""
    if not halves:
        return _count(parts, top, range(parts.parts))
    child = Child(lambda is_orphan: _count(parts, top, range(1, parts.parts, 2), is_orphan).state())
    try:
        counted = _count(parts, top, range(0, parts.parts, 2))
        counted.absorb(child.result())
    finally:
        child.kill()
    return counted


def _count(parts: Partitions, top: int, which: Iterable[int], stop: Stop = lambda: False) -> Tally:
    dumps = len(parts.zeros)
    counted = Tally(dumps, top)
    counted.zero = parts.zeros
    for part in which:
        if stop():
            break
        counted.add([parts.each(part, dump) for dump in range(dumps)])
    return counted


def _repeats(counter: Counter[bytes]) -> Counter[bytes]:
    """Contents that there are more than one of, with the number of copies beyond the first."""
    if len(counter) == counter.total():
        return Counter()
    return Counter({content: copies - 1 for content, copies in counter.items() if copies > 1})


def _pages(contents: set[bytes], repeated: Counter[bytes]) -> int:
    """Pages of a dump that have one of these contents, which it has all."""
    return len(contents) + sum(copies for content, copies in repeated.items() if content in contents)


def _rank(entry: Frequent) -> tuple[int, bytes]:
    return -entry[0], entry[1]
