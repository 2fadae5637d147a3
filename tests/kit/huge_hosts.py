"""Hosts with huge pages, sound ones and damaged ones."""

from __future__ import annotations

from vmdedup.host.layout import (
    CTL_THP,
    FRAME_MASK,
    FRAME_SHIFT,
    HUGE,
    MAPPED,
    MERGEABLE,
    NO_NODE,
    NODE_SHIFT,
    PRESENT,
    TABLE,
    WHOLE,
)
from vmdedup.host.memory import Host
from vmdedup.host.space import Memory
from vmdedup.host.thp import HUGE_PAGES, THP_MADVISE

ALL = MAPPED | MERGEABLE | HUGE
# What a process may leave that is killed in the midst, or worse, and what the check says of it.
COMPLAINTS = {
    "a part is alone": "part of two megabytes is mapped as a whole",
    "a part is of none": "two megabytes are mapped as a whole, but are no huge page",
    "it is none at all": "two megabytes are mapped as a whole, but are no huge page",
    "whole at the end": "the rest of its pages is mapped as a whole",
    "a merged part": "a KSM frame is part of a huge page",
    "a table in the midst": "a page in the midst has a page table",
}
MENDED = ("a part is alone", "a part is of none", "it is none at all", "whole at the end")


def host_of(*guests: int, mode: int = THP_MADVISE, spare: int = HUGE_PAGES) -> tuple[Host, list[Memory]]:
    """A host with guests of so many pages, all of them advised to have huge pages."""
    host = Host.create(2 * sum(guests), sum(guests) + spare, mms=len(guests) + 2)
    host.arrays.ctl[CTL_THP] = mode
    return host, [host.add(pages, f"g{number}", bits=ALL) for number, pages in enumerate(guests)]


def broken(kind: str) -> Host:
    """A host whose guest has two megabytes in a huge page, 100 pages more, and damage of a kind."""
    host, (guest,) = host_of(HUGE_PAGES + 100)
    guest.write(0, b"x")
    guest.write(HUGE_PAGES + 3, b"y")
    h, entries = host.arrays, guest.entries
    frame = int(entries[9] >> FRAME_SHIFT) & FRAME_MASK
    if kind == "a part is alone":
        entries[9] &= ~WHOLE
    elif kind == "a part is of none":
        h.folios[frame] = 0
    elif kind == "it is none at all":
        h.folios[:] = 0
    elif kind == "whole at the end":
        entries[HUGE_PAGES + 3] |= PRESENT | WHOLE
    elif kind == "a merged part":
        h.frames[frame] |= NO_NODE << NODE_SHIFT
    else:
        entries[9] |= TABLE
    return host
