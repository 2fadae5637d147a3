"""Counting contents: how many there are, how often, in which dumps. Pages of zeros are kept apart.

All figures are sums over the parts of partitions.py: no more than the contents of one part are in memory as objects.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import chain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vmdedup.scan.partitions import Partitions

    Part = Callable[[int | None], Iterator[bytes]]
    Frequent = tuple[int, bytes, tuple[int, ...]]


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
        self.contents: dict[tuple[int, int], int] = {}
        self.common: dict[tuple[int, int], tuple[int, int]] = {}
        self.frequent: list[Frequent] = []

    def add(self, part: Part) -> None:
        """Count a part. part(dump): its fingerprints in a dump, or, for None, in all."""
        counters = [Counter(part(dump)) for dump in range(self.dumps)]
        for dump, counter in enumerate(counters):
            self.pages[dump] += counter.total()
            self.distinct[dump] += len(counter)
            self.shared[dump] += _several(counter)
        whole = counters[0] if self.dumps == 1 else Counter(part(None))
        self.total_distinct += len(whole)
        self.total_shared += _several(whole)
        self._pair(counters)
        self._choose(whole, counters)

    def _pair(self, counters: Sequence[Counter[bytes]]) -> None:
        """Who has what in common with whom."""
        for b, later in enumerate(counters):
            for a, earlier in enumerate(counters[:b]):
                both = earlier.keys() & later.keys()
                if both:
                    old = self.common.get((a, b), (0, 0))
                    sums = sum(map(earlier.__getitem__, both)), sum(map(later.__getitem__, both))
                    self.contents[a, b] = self.contents.get((a, b), 0) + len(both)
                    self.common[a, b] = old[0] + sums[0], old[1] + sums[1]

    def _choose(self, whole: Counter[bytes], counters: Sequence[Counter[bytes]]) -> None:
        """Keep the most frequent; of equally frequent ones those of the lowest fingerprints."""
        if not self.top:
            return
        least = self.frequent[-1][0] if len(self.frequent) == self.top else 2
        found = [(-copies, content) for content, copies in whole.items() if copies >= least]
        found.sort()
        new = ((-n, content, tuple(c[content] for c in counters)) for n, content in found[: self.top])
        self.frequent = sorted(chain(self.frequent, new), key=_rank)[: self.top]


def tally(parts: Partitions, dumps: int, top: int) -> Tally:
    """Count all parts."""
    counted = Tally(dumps, top)
    counted.zero = parts.zeros[:dumps]
    for part in range(parts.parts):
        counted.add(partial(parts.each, part))
    return counted


def _several(counter: Counter[bytes]) -> int:
    """Contents with at least two copies."""
    return len(counter) - list(counter.values()).count(1)


def _rank(entry: Frequent) -> tuple[int, bytes]:
    return -entry[0], entry[1]
