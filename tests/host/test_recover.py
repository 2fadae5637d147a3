"""A host is made consistent again after a process was killed at any instruction, and the living keep every byte."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmdedup.errors import InvariantError
from vmdedup.host import frames
from vmdedup.host.layout import (
    COUNT_MASK,
    CTL_FREE,
    CTL_HEADS,
    CTL_STALE,
    FRAME_SHIFT,
    NODE_SHIFT,
    PIN,
    PRESENT,
    WRITABLE,
    ZERO,
)
from vmdedup.host.memory import Host
from vmdedup.host.space import Memory

PAGES = 6
STABLE_NODE = 9


class Accident:
    """A victim, and a survivor who shares with it: by fork, and one KSM frame; free frames on two nodes."""

    def __init__(self) -> None:
        self.host = Host.create(pages=3 * PAGES, frames=20, mms=4, page_size=64, nodes=2)
        self.h = self.host.arrays
        self.victim = self.host.add(PAGES, "victim")
        for page in (0, 1, 2, 3):
            self.victim.write(page, b"victim %d" % page)
        self.survivor = self.victim.fork("survivor")
        self.survivor.write(3, b"its own")
        self.merge(self.survivor, 4, self.victim, 4)
        self.victim.write(5, b"merged with nobody now")
        self.mark(self.victim, 5)
        passing = self.host.add(PAGES, "passing", node=1)
        for page in range(PAGES):
            passing.write(page, b"for a moment")
        passing.exit()
        self.host.release(passing.mm)
        self.held = [self.survivor.read(page) for page in range(PAGES)]
        self.host.check()

    def merge(self, one: Memory, page: int, other: Memory, other_page: int) -> None:
        """Let two pages share a KSM frame that has a stable node."""
        one.write(page, b"merged")
        pfn = self.pfn(one, page)
        frames.get_frame(self.h, pfn)
        other.entries[other_page] = one.entries[page]
        for memory, p in ((one, page), (other, other_page)):
            memory.entries[p] &= ~WRITABLE
        frames.set_stable_node(self.h, pfn, STABLE_NODE)

    def mark(self, memory: Memory, page: int) -> None:
        """Make a page's frame a KSM frame."""
        memory.entries[page] &= ~WRITABLE
        frames.set_stable_node(self.h, self.pfn(memory, page), STABLE_NODE + 1)

    def pfn(self, memory: Memory, page: int) -> int:
        """The frame of a page."""
        return int(memory.entries[page]) >> FRAME_SHIFT


@pytest.fixture
def accident() -> Iterator[Accident]:
    accident = Accident()
    yield accident
    accident.host.close()


def pinned(a: Accident) -> None:
    """Killed while storing."""
    a.victim.entries[0] |= PIN


def pinned_untouched(a: Accident) -> None:
    """Killed while faulting a page in."""
    a.victim.discard(np.array([1]))
    a.victim.entries[1] |= PIN


def allocated_only(a: Accident) -> None:
    """A fault had got its frame, and had not mapped it."""
    frames.alloc_frame(a.h, 0)


def swapped_only(a: Accident) -> None:
    """A fault had mapped the copy, and had not dropped the frame that it copied."""
    pfn = int(frames.alloc_frame(a.h, 0))
    a.victim.entries[0] = (int(a.victim.entries[0]) & 0xFFFF) | (pfn << FRAME_SHIFT) | WRITABLE


def counted_only(a: Accident) -> None:
    """A fork had counted a frame, and had not mapped it in the child."""
    frames.get_frame(a.h, a.pfn(a.victim, 1))


def off_the_list(a: Accident) -> None:
    """A frame had left the free list, and had no count yet."""
    for node in (0, 1):
        head = int(a.h.ctl[CTL_HEADS + node])
        a.h.ctl[CTL_HEADS + node] = int(a.h.frames[head & COUNT_MASK]) >> NODE_SHIFT
        a.h.ctl[CTL_FREE + node] -= 1


def taken_uncounted(a: Accident) -> None:
    """As above, and the list's length had not been changed yet."""
    head = int(a.h.ctl[CTL_HEADS + 1])
    a.h.ctl[CTL_HEADS + 1] = int(a.h.frames[head & COUNT_MASK]) >> NODE_SHIFT


def freed_only(a: Accident) -> None:
    """The last reference was dropped, and the frame was not on the list yet."""
    a.h.frames[a.pfn(a.victim, 2)] -= 1
    pfn = a.pfn(a.victim, 5)
    a.victim.entries[5] = 0
    a.h.frames[pfn] = 0
    a.h.ctl[CTL_STALE] += 1


def announced_only(a: Accident) -> None:
    """A stale node was announced, and its frame was not freed."""
    a.h.ctl[CTL_STALE] += 1


def half_emptied(a: Accident) -> None:
    """Killed while it exited: some pages are gone, their frames not all given back."""
    for page in (0, 1, 4):
        a.victim.entries[page] = 0
    a.victim.discard(np.array([2]))


def placed_uncounted(a: Accident) -> None:
    """A zero page had been placed, and was not counted."""
    pfn = a.pfn(a.victim, 3)
    a.victim.entries[3] = (int(a.victim.entries[3]) & 0xFFFF & ~WRITABLE) | ZERO | PRESENT
    frames.put_frame(a.h, pfn)


ACCIDENTS = [
    pinned,
    pinned_untouched,
    allocated_only,
    swapped_only,
    counted_only,
    off_the_list,
    taken_uncounted,
    freed_only,
    half_emptied,
    placed_uncounted,
]


def recover(a: Accident) -> None:
    """As the parent does when the victim is dead."""
    a.host.bury(a.victim.mm)
    a.host.recover()
    a.host.check()
    assert [a.survivor.read(page) for page in range(PAGES)] == a.held
    assert a.host.frames_in_use() == PAGES - 1  # the survivor never touched page 5
    a.host.release(a.victim.mm)
    assert [memory.mm for memory in a.host.live()] == [a.survivor.mm]


@pytest.mark.parametrize("happen", [*ACCIDENTS, announced_only], ids=lambda happen: happen.__name__)
def test_each_accident_is_recovered_from(accident: Accident, happen: Callable[[Accident], None]) -> None:
    happen(accident)
    if happen is not announced_only:  # one too many is allowed for
        with pytest.raises(InvariantError):
            accident.host.check()
    recover(accident)


@settings(max_examples=60)
@given(st.lists(st.sampled_from([pinned, allocated_only, swapped_only, counted_only, announced_only]), max_size=6))
def test_accidents_together(happened: list[Callable[[Accident], None]]) -> None:
    accident = Accident()
    for happen in happened:
        happen(accident)
    recover(accident)
    accident.host.close()


def test_all_memory_can_be_had_again(accident: Accident) -> None:
    off_the_list(accident)
    half_emptied(accident)
    recover(accident)
    heir = accident.host.add(PAGES, "heir", node=1)
    more = accident.host.add(PAGES, "more", node=1)
    for memory in (heir, more):
        memory.write_pages(np.arange(PAGES), np.full((PAGES, 64), 7, np.uint8))
    assert accident.host.frames_in_use() == PAGES - 1 + 2 * PAGES
    accident.host.check()
    assert [accident.survivor.read(page) for page in range(PAGES)] == accident.held


def test_the_stable_nodes_of_the_dead_are_announced_as_stale(accident: Accident) -> None:
    """Page 5's frame goes, with a node that ksmd must notice; page 4's is still mapped by the survivor."""
    before = int(accident.h.ctl[CTL_STALE])
    recover(accident)
    assert accident.h.ctl[CTL_STALE] == before + 1
    assert frames.stable_node_of(accident.h, accident.pfn(accident.survivor, 4)) == STABLE_NODE


def test_a_survivors_pin_is_undone_too(accident: Accident) -> None:
    """A dead scanner may have left any page pinned."""
    accident.survivor.entries[0] |= PIN
    recover(accident)


def test_burying_nobody_is_nothing(accident: Accident) -> None:
    accident.host.bury(4)
    accident.host.recover()
    accident.host.check()
    assert accident.host.frames_in_use() == PAGES + 1
