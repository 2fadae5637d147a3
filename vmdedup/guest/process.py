"""A process of a guest: text and libraries mapped from the page cache, and a heap of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vmdedup.guest.anonymous import Anonymous
from vmdedup.guest.content import base_keys, similar_keys
from vmdedup.guest.index import Numbers
from vmdedup.guest.mixes import HeapMix
from vmdedup.guest.seeds import Words, below, keys, split_seed


@dataclass(eq=False)
class Process:
    """program: its name in seeds. seed: this process's own. text: file pages. slabs: frames. heap: memory.

    awake: whether it is at work, and so uses its text all the time.
    """

    program: int
    seed: int
    text: Numbers
    slabs: Numbers
    heap: Anonymous
    awake: bool = False
    _drawn: int = 0

    def initial_keys(self, pages: int, heap: HeapMix) -> Words:
        """Keys of the heap at the start: a share the same in all processes of the program, another share similar."""
        numbers, own = np.arange(pages), self.own_keys(pages)
        draws = keys(split_seed(self.program, "common?"), numbers)
        alike, like = below(draws, heap.common), below(draws, heap.common + heap.similar)
        common = keys(split_seed(self.program, "common"), numbers)
        if heap.similar:
            common, own = base_keys(common), np.where(like, similar_keys(common, own), own)
        return np.where(alike, common, own)

    def own_keys(self, count: int) -> Words:
        """Keys that no other process draws."""
        first = self._drawn
        self._drawn += count
        return keys(split_seed(self.seed, "own"), np.arange(first, self._drawn))
