"""Words and numbers of huge pages: when there are any, how versions of Linux deal with them, khugepaged's tunables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

HUGE_PAGES: Final = 512  # pages of a huge page

# transparent_hugepage/enabled, and a host that never has any.
THP_OFF, THP_NEVER, THP_MADVISE, THP_ALWAYS = 0, 1, 2, 3

# How huge pages, and swapped ones, are dealt with, which differs by version of Linux.
SPLIT_FREES_ZEROS = 1  # a split maps pages of zeros to the zero page
SPLIT_STOPS = 2  # it ends at the first process that maps the whole, and fails if others do so too
HUGE_OVER_ZERO = 4  # a store to the huge zero page brings a huge page, not a page
TABLES_GO = 8  # a discard of two megabytes takes their page table, too
OWN_FOLIO = (
    16  # a store needs no copy if nobody else maps any of the huge page; before: if nothing else of it is mapped
)
UNSHARED_READONLY = 32  # what KSM gives back may not be stored to before a fault
COLLAPSE_READONLY = 64  # pages are put together even if none of them may be stored to
LESS_IS_NOTHING = 128  # MADV_COLLAPSE of less than two megabytes does nothing; before, it was refused
ZEROS_UNWRITTEN = 256  # swapped pages of zeros are noted, and neither written, read nor counted

U32: Final = (1 << 32) - 1
# The files of transparent_hugepage/khugepaged that are looked at: default, and the largest value.
TUNABLES: Final[Mapping[str, tuple[int, int]]] = {
    "defrag": (1, 1),
    "pages_to_scan": (4096, U32),
    "scan_sleep_millisecs": (10_000, U32),
    "alloc_sleep_millisecs": (60_000, U32),
    "max_ptes_none": (HUGE_PAGES - 1, HUGE_PAGES - 1),
    "max_ptes_swap": (HUGE_PAGES // 8, HUGE_PAGES - 1),
    "max_ptes_shared": (HUGE_PAGES // 2, HUGE_PAGES - 1),
}
PARKED: Final[Mapping[str, int]] = {"pages_to_scan": 1, "scan_sleep_millisecs": 4_000_000_000, "defrag": 0}
"""What keeps it from ever doing anything, as in scripts."""
