"""What it costs to hash a page of memory that is in no cache: pages one after the other, and drawn at random."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.images import noise
from benchmarks.scanning import Row, scanning
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import hash_page

TURNS = 5


@kernel
def hash_all(words: Any, order: Any) -> int:
    """XXH64 of each of these rows, mixed. order: int64[n]."""
    mixed = 0
    for k in range(len(order)):
        mixed ^= hash_page(words, order[k])
    return mixed


def reading(pages: int) -> dict[str, float]:
    """Microseconds for a page, in each order; the best of TURNS."""
    with scanning(noise(pages), Row("none", "none"), pages) as made:
        rows = np.arange(1, pages + 1)
        orders = {"in order": rows, "at random": np.random.default_rng(1).permutation(rows)}
        hash_all(made.host.arrays.words, rows[:1])
        return {name: _best(made.host.arrays.words, order) * 1e6 / pages for name, order in orders.items()}


def _best(words: Any, order: Any) -> float:
    spent = []
    for _ in range(TURNS):
        start = time.process_time()
        hash_all(words, order)
        spent.append(time.process_time() - start)
    return min(spent)
