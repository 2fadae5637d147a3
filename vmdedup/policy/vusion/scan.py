"""Visits to pages: those in use are left alone, those that are idle are guarded, merged or not. Kernels only.

Both ways of guarding end in the same step, and what a guest can do to the page afterwards is the same.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.absent import frame_behind, kind_of, make_guarded
from vmdedup.host.frames import NO_FRAME, put_frame, set_stable_node
from vmdedup.host.huge import split_folio
from vmdedup.host.layout import ACCESSED, GUARDED, NO_NODE, PIN, WHOLE
from vmdedup.host.mm import mm_of_entry
from vmdedup.host.pool import draw_frame
from vmdedup.jit.atomic import load
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import copy_page, hash_page
from vmdedup.policy.sharing import frame_of, was_accessed
from vmdedup.policy.vusion.index import NONE, enter_frame, find_frame
from vmdedup.policy.vusion.layout import (
    ABSENT,
    BUSY,
    COPIED,
    FAKE_MERGED,
    HASHED,
    IDLE,
    MERGED,
    MOST_IDLE,
    VISITED,
    WORKING_SET,
)


@kernel
def visit_pages(h: Any, t: Any, first: int, count: int) -> None:
    """Visit so many pages from an entry on."""
    for entry in range(first, first + count):
        t.found[VISITED] += 1
        if frame_of(h, entry) == 0:
            t.found[ABSENT] += 1
            t.idle[entry] = 0  # in no frame of its own, guarded already, or in use at this moment
        elif was_accessed(h, entry):
            t.found[WORKING_SET] += 1
            t.idle[entry] = 0
        else:
            t.idle[entry] = min(t.idle[entry] + 1, MOST_IDLE)
            if t.idle[entry] >= t.settings[IDLE]:
                _guard(h, t, entry)


@kernel
def _guard(h: Any, t: Any, entry: int) -> None:
    """Take all access to an idle page: its content goes to the frame of its equal, or to one drawn by chance."""
    split_folio(h, entry, frame_behind(load(h.pte, entry)), 0)
    old = load(h.pte, entry)
    pfn = frame_behind(old)
    if old & (PIN | ACCESSED | WHOLE) or pfn == 0:
        t.found[BUSY] += 1
        return
    digest = hash_page(h.words, pfn)
    t.found[HASHED] += 1
    frame = find_frame(h, t, digest, pfn)
    merged = frame != NONE
    if not merged:
        frame = draw_frame(h, int(h.mms[mm_of_entry(h, entry)]["node"]))
        if frame == NO_FRAME:
            return
        copy_page(h.words, frame, h.words, pfn)
        set_stable_node(h, frame, NO_NODE)
        t.found[COPIED] += 1
    if not make_guarded(h, entry, old, frame):
        t.found[BUSY] += 1
        put_frame(h, frame)
    elif merged:
        t.found[MERGED] += 1
    else:
        t.found[FAKE_MERGED] += 1
        enter_frame(t, frame, digest)


@kernel
def adopt_pages(h: Any, t: Any, first: int, count: int) -> None:
    """Enter the frames of pages that one before it has guarded."""
    for entry in range(first, first + count):
        e = load(h.pte, entry)
        frame = frame_behind(e)
        if kind_of(e) == GUARDED and not t.linked[frame]:
            enter_frame(t, frame, hash_page(h.words, frame))
            t.found[HASHED] += 1


@kernel
def count_guarded(h: Any, first: int, count: int, maps: Any) -> int:
    """How many of these pages are guarded. maps: int32[frames], to which the pages that each frame has are added."""
    pages = 0
    for entry in range(first, first + count):
        e = load(h.pte, entry)
        if kind_of(e) == GUARDED:
            maps[frame_behind(e)] += 1
            pages += 1
    return pages
