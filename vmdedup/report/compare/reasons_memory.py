"""Reasons in the guests' memory: what KSM can see of it, and what leaves it without being counted.

Measurements may have two columns in their table of guests that emulated runs have no use for:
split_zero_pages  pages of the guest's RAM that map the shared zero page although KSM did not put it there
firmware_pages    mergeable pages beside the guest's RAM: option ROMs, BIOS, VGA memory
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from vmdedup.report.compare.figures import Figures
from vmdedup.report.compare.measures import visible_pages
from vmdedup.report.compare.reason import Finder, Reason, each, show


def visible(first: Figures, other: Figures) -> Iterator[Reason]:
    """KSM has met a different number of pages: memory that is not present or not mergeable has no record."""
    one, two = visible_pages(first), visible_pages(other)
    if one is None or two is None or one == two:
        return
    memory = [figures.total("memory_pages") for figures in (first, other)]
    whole = "" if None in memory else f" (guest memory: {show(memory[0] or 0)} and {show(memory[1] or 0)} pages)"
    text = f"KSM keeps records of different numbers of pages: {each(first, other, one, two)}{whole}"
    zeros = [figures.end("ksm_zero_pages") or 0 for figures in (first, other)]
    if zeros[0] != zeros[1]:
        text += f"; of pages that it made zero pages, {show(zeros[0])} and {show(zeros[1])}, it keeps none"
    yield Reason("visible", text, abs(int(two - one)), {"visible_pages": [one, two]})


def held(first: Figures, other: Figures) -> Iterator[Reason]:
    """The guests hold different amounts of content."""
    one, two = first.end("allocated_pages"), other.end("allocated_pages")
    if one is None or two is None or one == two:
        return
    text = f"the guests hold different amounts of content at the end: {each(first, other, one, two)} pages"
    yield Reason("content", text, abs(int(two - one)), {"allocated_pages": [one, two]})


def split_zeros(first: Figures, other: Figures) -> Iterator[Reason]:
    """Splitting a huge page maps its pages of zeros to the zero page, which no counter of KSM tells.

    Source: Linux 6.12 and later, mm/migrate.c, try_to_map_unused_to_zeropage.
    """
    for figures in (first, other):
        pages = figures.total("split_zero_pages")
        if pages:
            text = (
                f"{show(pages)} pages of zeros in {figures.label} went to the zero page when KSM split huge pages: "
                "their memory is free, but neither pages_sharing nor ksm_zero_pages counts them"
            )
            yield Reason("split_zero_pages", text, int(pages), {"run": figures.label})


def firmware(first: Figures, other: Figures) -> Iterator[Reason]:
    """Mergeable memory of a QEMU process that is no guest RAM, alike in all guests."""
    one, two = first.total("firmware_pages"), other.total("firmware_pages")
    if (one or 0) == (two or 0):
        return
    seen = {figures.label: show(pages) for figures, pages in ((first, one), (other, two)) if pages is not None}
    words = ", ".join(f"{pages} in {label}" for label, pages in seen.items())
    silent = "" if len(seen) == 2 else "; the other does not tell them apart, or has none"
    text = f"KSM sees pages beside the guests' RAM (option ROMs, BIOS, VGA): {words}{silent}"
    yield Reason("firmware", text, abs(int((two or 0) - (one or 0))), {"firmware_pages": [one, two]})


FINDERS: Final[tuple[Finder, ...]] = (visible, held, split_zeros, firmware)
