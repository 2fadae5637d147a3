"""The check of a whole host finds each thing that it says it looks for, one corruption at a time."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from kit.huge_hosts import COMPLAINTS
from vmdedup.errors import InvariantError
from vmdedup.host import check, frames
from vmdedup.host.layout import (
    COMPRESSED,
    CTL_FREE,
    CTL_FRESH,
    CTL_HEADS,
    FRAME_MASK,
    FRAME_SHIFT,
    GUARDED,
    KIND_SHIFT,
    MAPPED,
    MM_DEAD,
    NO_NODE,
    NODE_SHIFT,
    PIN,
    PRESENT,
    SOFT,
    WRITABLE,
    ZERO,
)
from vmdedup.host.memory import Host
from vmdedup.host.space import Memory

# The pages of guest "one": shared with its child, its own, a KSM frame of one page, the zero page as read, the zero
# page as KSM places it, never touched, unmapped.
SHARED, OWN, KSM, READ, PLACED, UNTOUCHED, UNMAPPED = range(7)


class Sound:
    """A host with everything in it; three frames are free, of which two have been used."""

    def __init__(self) -> None:
        self.host = Host.create(pages=16, frames=8, mms=4, page_size=64)
        self.h = self.host.arrays
        self.one = self.host.add(7, "one")
        self.one.write(SHARED, b"shared")
        child = self.one.fork("child")
        for page in (OWN, KSM, PLACED):
            self.one.write(page, b"%d" % page)
        self.one.touch(np.array([READ]))
        self.one.unmap(UNMAPPED, UNMAPPED)
        self.one.entries[KSM] &= ~WRITABLE
        frames.set_stable_node(self.h, self.pfn(KSM), NO_NODE)
        frames.put_frame(self.h, self.pfn(PLACED))
        self.one.entries[PLACED] = PRESENT | MAPPED | ZERO
        self.h.mms[self.one.mm]["zero_pages"] = 1
        child.write(OWN, b"for a moment")
        child.discard(np.array([OWN]))
        self.gone = self.host.add(2, "gone")
        self.gone.write(0, b"for a moment")
        self.gone.write(1, b"for a moment")
        self.gone.exit()

    def pfn(self, page: int, memory: Memory | None = None) -> int:
        """The frame of a page."""
        return int((memory or self.one).entries[page]) >> FRAME_SHIFT

    def head(self) -> int:
        """The first free frame."""
        return int(self.h.ctl[CTL_HEADS]) & 0xFFFFFFFF


@pytest.fixture
def sound() -> Iterator[Sound]:
    sound = Sound()
    sound.host.check()
    yield sound
    sound.host.close()


def bits(page: int, on: int = 0, off: int = 0) -> Callable[[Sound], None]:
    """Set and clear bits of an entry."""

    def corrupt(s: Sound) -> None:
        s.one.entries[page] = (s.one.entries[page] | on) & ~off

    return corrupt


def map_frame(s: Sound, page: int, pfn: int, count: int) -> None:
    """Let a page map a frame that counts so many references."""
    s.one.entries[page] = PRESENT | MAPPED | (pfn << FRAME_SHIFT)
    s.h.frames[pfn] = count


def counts_one_more(s: Sound) -> None:
    """As if a scanner had died with a reference."""
    s.h.frames[s.pfn(OWN)] += 1


def counts_one_less(s: Sound) -> None:
    """One of two mappings is not counted."""
    s.h.frames[s.pfn(SHARED)] -= 1


def forgotten_entry(s: Sound) -> None:
    """A page is gone, its frame was not given back."""
    s.one.entries[OWN] = MAPPED


def dead_but_mapping(s: Sound) -> None:
    """An address space whose pages were not given back."""
    s.h.mms[s.one.mm]["state"] = MM_DEAD


def frame_beyond_the_pool(s: Sound) -> None:
    """A number that no frame has."""
    s.one.entries[OWN] = PRESENT | MAPPED | (len(s.h.frames) << FRAME_SHIFT)


def fresh_frame_mapped(s: Sound) -> None:
    """A frame that the pool has never given out."""
    map_frame(s, UNTOUCHED, int(s.h.ctl[CTL_FRESH]), 1)


def free_frame_mapped(s: Sound) -> None:
    """A frame that is on the free list."""
    head = s.head()
    map_frame(s, UNTOUCHED, head, (int(s.h.frames[head]) >> NODE_SHIFT << NODE_SHIFT) | 1)


def lost_frame(s: Sound) -> None:
    """The free list starts with its second frame; its length says so too."""
    s.h.ctl[CTL_HEADS] = int(s.h.frames[s.head()]) >> NODE_SHIFT
    s.h.ctl[CTL_FREE] -= 1


def list_in_a_circle(s: Sound) -> None:
    """The second free frame leads back to the first."""
    s.h.frames[int(s.h.frames[s.head()]) >> NODE_SHIFT] = s.head() << NODE_SHIFT


def list_out_of_the_pool(s: Sound) -> None:
    """The free list leads to a frame that was never used."""
    s.h.frames[s.head()] = int(s.h.ctl[CTL_FRESH]) << NODE_SHIFT


def length_wrong(s: Sound) -> None:
    """The free list has another length than it says."""
    s.h.ctl[CTL_FREE] += 1


def zero_page_written(s: Sound) -> None:
    """Somebody stored into the zero page."""
    s.h.words[0, 3] = 1


def placed_pages_wrong(s: Sound) -> None:
    """A zero page that KSM placed is not counted."""
    s.h.mms[s.one.mm]["zero_pages"] = 0


def slot_without_frame(s: Sound) -> None:
    """A compressed page is kept in a frame beyond the pool."""
    s.one.entries[UNTOUCHED] |= COMPRESSED << KIND_SHIFT
    s.h.slots[int(s.h.mms[s.one.mm]["first"]) + UNTOUCHED]["frame"] = 1000


def guard(s: Sound, page: int, pfn: int) -> None:
    """Let a page be guarded in a frame."""
    s.one.entries[page] = MAPPED | (GUARDED << KIND_SHIFT) | ((pfn & FRAME_MASK) << FRAME_SHIFT)


def guards_nothing(s: Sound) -> None:
    """A page is guarded in a frame beyond the pool."""
    guard(s, UNTOUCHED, len(s.h.frames))


def guards_the_zero_page(s: Sound) -> None:
    """A page is guarded in the frame that everybody reads."""
    guard(s, UNTOUCHED, 0)


def slot_in_the_zero_page(s: Sound) -> None:
    """A compressed page is kept in the frame that everybody reads."""
    s.one.entries[UNTOUCHED] |= COMPRESSED << KIND_SHIFT
    s.h.slots[int(s.h.mms[s.one.mm]["first"]) + UNTOUCHED]["frame"] = 0


def guards_a_frame_of_its_own(s: Sound) -> None:
    """A page is guarded in a frame that somebody might store into."""
    guard(s, OWN, s.pfn(OWN))


def pool_without_frame(s: Sound) -> None:
    """A place of the pool names a frame that is not there."""
    s.h.pool[5] = len(s.h.frames)


CORRUPTIONS = [
    (guards_nothing, r"address space \d \(one\): it guards a frame that does not exist"),
    (guards_the_zero_page, "it guards a frame that does not exist"),
    (guards_a_frame_of_its_own, "a guarded frame is not marked as shared"),
    (pool_without_frame, "the pool has a frame that does not exist"),
    (counts_one_more, r"frame \d+ counts 2, 1 entries and slots use it \(1 such frames\)"),
    (counts_one_less, r"frame \d+ counts 1, 2 entries and slots use it"),
    (forgotten_entry, r"frame \d+ counts 1, 0 entries and slots use it"),
    (frame_beyond_the_pool, "an entry maps a frame that does not exist"),
    (fresh_frame_mapped, "a frame beyond the pool is mapped"),
    (free_frame_mapped, "a free frame is mapped"),
    (lost_frame, "a frame that nobody maps is on no free list"),
    (list_in_a_circle, r"frame \d+ is on the free list twice"),
    (list_out_of_the_pool, r"the free list of node 0 leads to frame \d+"),
    (length_wrong, "the free list of node 0 has another length"),
    (bits(SHARED, on=WRITABLE), "a frame is writable and shared"),
    (bits(KSM, on=WRITABLE), "a KSM frame is writable"),
    (bits(OWN, on=PIN), r"address space \d \(one\): a pin has outlived its writer"),
    (bits(UNTOUCHED, on=PIN), "a pin has outlived its writer"),
    (dead_but_mapping, r"address space \d \(one\) is dead but maps pages"),
    (bits(OWN, off=MAPPED), "a present page is not mapped"),
    (placed_pages_wrong, "ksm_zero_pages is wrong"),
    (bits(READ, on=ZERO), "ksm_zero_pages is wrong"),
    (bits(OWN, on=ZERO), "a placed zero page maps another frame"),
    (bits(UNTOUCHED, on=ZERO), "a placed zero page maps another frame"),
    (bits(READ, on=WRITABLE), "the zero page is writable"),
    (bits(UNTOUCHED, on=WRITABLE), "the zero page is writable"),
    (bits(UNTOUCHED, on=SOFT), "an absent page is marked as written"),
    (slot_without_frame, "a slot names a frame that does not exist"),
    (slot_in_the_zero_page, "a slot names a frame that does not exist"),
    (zero_page_written, "the zero page is not zero"),
]


@pytest.mark.parametrize(("corrupt", "message"), CORRUPTIONS)
def test_each_invariant_is_checked(sound: Sound, corrupt: Callable[[Sound], None], message: str) -> None:
    corrupt(sound)
    with pytest.raises(InvariantError, match=message):
        sound.host.check()


@pytest.mark.parametrize("frame", [1, 4])
def test_any_frame_but_the_zero_page_may_be_guarded_or_kept_in(frame: int) -> None:
    """The first and the last of a host, too; as frames come in the order of stores."""
    host = Host.create(8, frames=4, mms=2, page_size=64)
    try:
        memory = host.add(8)
        for page in range(frame):
            memory.write(page, b"x")
        page, kept = frame - 1, int(memory.entries[frame - 1])
        assert (kept >> FRAME_SHIFT) & FRAME_MASK == frame == (4 if frame > 1 else 1)
        frames.set_stable_node(host.arrays, frame, NO_NODE)
        memory.entries[page] = MAPPED | (GUARDED << KIND_SHIFT) | (frame << FRAME_SHIFT)
        host.check()
        memory.entries[page] = MAPPED | (COMPRESSED << KIND_SHIFT)
        host.arrays.slots[int(host.arrays.mms[memory.mm]["first"]) + page]["frame"] = frame
        host.check()
        memory.entries[page] = kept & ~WRITABLE
    finally:
        host.close()


def test_every_complaint_is_tried() -> None:
    """A new invariant needs a new corruption above."""
    tree = ast.parse(inspect.getsource(check))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "_require"]
    assert len(calls) > 15
    messages = [*(message for _, message in CORRUPTIONS), *COMPLAINTS.values()]  # the latter: ksm/test_huge.py
    for call in calls:
        words = [node.value for node in ast.walk(call.args[1]) if isinstance(node, ast.Constant)]
        longest = max((str(word).strip(": (") for word in words), key=len)
        assert any(longest in message for message in messages), longest
