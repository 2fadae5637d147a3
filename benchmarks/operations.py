"""What keeping a page in another form costs, and getting it back: microseconds of CPU time, beside the paper's.

The paper's are Difference Engine's own, from its Table 2.
"""

from __future__ import annotations

import time
from typing import Final

import numpy as np

from benchmarks.contents import PAGE, Pages
from benchmarks.images import Image
from benchmarks.scanning import Row, scanning

OPERATIONS: Final = 2000
WARM_UP: Final = 16
PASSES: Final = 30  # more than any page needs to become idle
PAPER_US: Final = {"patch": 338.1, "unpatch": 18.6, "compress": 29.7, "uncompress": 10.4}


def operations(count: int = OPERATIONS) -> dict[str, float]:
    """Microseconds for a page, by operation."""
    if count > WARM_UP:
        operations(WARM_UP)  # everything is loaded now
    return {
        **_there_and_back(_similar(count), "patch", "unpatch", {"compression": 0}),
        **_there_and_back(_compressible(count), "compress", "uncompress", {"patching": 0}),
    }


def _there_and_back(rows: Pages, there: str, back: str, knobs: dict[str, int]) -> dict[str, float]:
    with scanning(Image([rows]), Row(there, "difference_engine", knobs), len(rows)) as made:
        count, spent = 0, 0.0
        for _ in range(PASSES):
            _, seconds = made.scan()
            if count := made.policy.counters()[f"total_{there}ed"]:
                spent = seconds
                break
        memory = next(made.host.live())
        start = time.process_time()
        memory.read_pages(np.arange(len(rows)))
        rebuilding = time.process_time() - start
    return {there: spent * 1e6 / count, back: rebuilding * 1e6 / count}


def _similar(count: int) -> Pages:
    """Pages that differ in a quarter of their bytes from one page of noise."""
    random = np.random.default_rng(1)
    rows = np.repeat(random.integers(0, 256, (1, PAGE), dtype=np.uint8), count, axis=0)
    rows[1:, PAGE // 2 : 3 * PAGE // 4] = random.integers(0, 256, (count - 1, PAGE // 4), dtype=np.uint8)
    return rows


def _compressible(count: int) -> Pages:
    """Pages of which a third is noise."""
    rows = np.zeros((count, PAGE), np.uint8)
    rows[:, : PAGE // 3] = np.random.default_rng(2).integers(0, 256, (count, PAGE // 3), dtype=np.uint8)
    return rows
