"""Figures and mappings of guests that are looked at from outside, as live.memory.look finds them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vmdedup.live.memory.look import Look
from vmdedup.run.measure.accounting import ZERO_WORD, Mappings, possible_pages
from vmdedup.run.measure.host import Figures


def mappings_of(seen: Look, guests: int) -> Mappings:
    """Who maps what. guests: the highest number of a guest, there or not."""
    allocated, placed = (np.zeros(guests + 1, np.int64) for _ in range(2))
    for number, sight in seen.sights.items():
        allocated[number], placed[number] = sight.allocated, sight.zero_placed
    return Mappings(allocated, placed, seen.pairs, lambda _: seen.hashes == ZERO_WORD)


def figures_of(
    seen: Look, mappings: Mappings, zeros_are_free: bool, breaks: int | None, further: Mapping[str, int]
) -> Figures:
    """What a row of the series tells. mappings: of the same look. breaks, further: as Figures has them."""
    allocated, placed = int(mappings.allocated.sum()), int(mappings.zero_placed.sum())
    zero, within, between = mappings.saved()
    return Figures(
        allocated=allocated,
        used=len(seen.frames),
        zero=zero + placed,
        within=within,
        between=between,
        possible=possible_pages(seen.hashes, allocated, placed, zeros_are_free),
        breaks=breaks,
        further=further,
    )
