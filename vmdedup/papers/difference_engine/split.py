"""What a run saves over time, by technique: per cent of its guests' memory.

Xen gives a guest all its frames, so that what it never touched counts as zero pages shared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vmdedup.papers.bench.runs import column
from vmdedup.result.run import Result

_SHARED: Final = ("zero_pages", "within_guest_pages", "between_guests_pages")
Split = dict[str, list[float]]


def split(result: Result, pages: int) -> Split:
    """shared, patched, compressed and saved (all of them) at each row, per cent of so many pages."""
    untouched = [pages - allocated for allocated in column(result, "allocated_pages")]
    shared = [sum(row) for row in zip(untouched, *(column(result, name) for name in _SHARED), strict=True)]
    found = {
        "shared": shared,
        "patched": column(result, "patch_saved_pages"),
        "compressed": column(result, "compress_saved_pages"),
        "saved": [pages - used for used in column(result, "used_pages")],
    }
    return {name: [100 * value / pages for value in values] for name, values in found.items()}


def mean_between(times: Sequence[float], values: Sequence[float], start: float, end: float) -> float:
    """The mean of values at times from start to end, both included."""
    chosen = [value for time, value in zip(times, values, strict=True) if start <= time <= end]
    return sum(chosen) / len(chosen)


def means_between(times: Sequence[float], found: Split, start: float, end: float) -> dict[str, float]:
    """mean_between of each technique."""
    return {name: mean_between(times, values, start, end) for name, values in found.items()}
