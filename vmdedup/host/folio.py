"""Who maps a huge page, and how much of it. Kernels only."""

from __future__ import annotations

from typing import Any

from vmdedup.host.layout import CTL_FORKS, FRAME_MASK, FRAME_SHIFT, MM_LIVE, PRESENT, WHOLE
from vmdedup.host.thp import HUGE_PAGES
from vmdedup.jit.atomic import load
from vmdedup.jit.kernel import kernel


@kernel
def folio_of(h: Any, pfn: int) -> int:
    """The huge page that a frame is part of; 0: none."""
    return int(h.folios[pfn])


@kernel
def count_mapped(h: Any, top: int, folio: int) -> int:
    """How many pages of a huge page are mapped in two megabytes."""
    mapped = 0
    for entry in range(top, top + HUGE_PAGES):
        old = load(h.pte, entry)
        if old & PRESENT and folio_of(h, (old >> FRAME_SHIFT) & FRAME_MASK) == folio:
            mapped += 1
    return mapped


@kernel
def is_together(h: Any, top: int, folio: int) -> bool:
    """Whether all of two megabytes is mapped as a whole, by this huge page."""
    together = 0
    for entry in range(top, top + HUGE_PAGES):
        old = load(h.pte, entry)
        if old & WHOLE and folio_of(h, (old >> FRAME_SHIFT) & FRAME_MASK) == folio:
            together += 1
    return together == HUGE_PAGES


@kernel
def may_be_shared(h: Any) -> bool:
    """Whether a huge page may have been mapped by several: only forks do that."""
    return load(h.ctl, CTL_FORKS) != 0


@kernel
def maps(h: Any, mm: int, page: int, folio: int) -> bool:
    """Whether an address space maps any of a huge page, which lies at `page` if at all."""
    if load(h.mms["state"], mm) != MM_LIVE or h.mms[mm]["pages"] < page + HUGE_PAGES:
        return False
    return count_mapped(h, h.mms[mm]["first"] + page, folio) != 0


@kernel
def mapped_elsewhere(h: Any, mm: int, page: int, folio: int) -> bool:
    """Whether anybody but one address space maps any of a huge page."""
    if not may_be_shared(h):
        return False
    mappers = 0
    for other in range(1, len(h.mms)):
        if other != mm and maps(h, other, page, folio):
            mappers += 1
    return mappers != 0


@kernel
def next_born(h: Any, born: int, page: int, folio: int) -> int:
    """Of those who map a huge page, the oldest that is younger; 0: there is none."""
    found = 0
    for mm in range(1, len(h.mms)):
        age = h.mms[mm]["born"]
        if age > born and (found == 0 or age < h.mms[found]["born"]) and maps(h, mm, page, folio):
            found = mm
    return found
