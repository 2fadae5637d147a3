"""The frame pool against a model of stacks: which frame comes next, who counts, what is free, on each NUMA node."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from vmdedup.host import frames
from vmdedup.host.check import check_host
from vmdedup.host.layout import CTL_STALE, FRAME_MASK, FRAME_SHIFT, MAPPED, NO_NODE, NODE_SHIFT, PRESENT
from vmdedup.host.memory import Host

SLOTS = 64


class FramePool(RuleBasedStateMachine):
    """Entries of one address space hold the references, so that the host's check must agree at every step.

    counts: references by frame; free: by node, the frames given back, last on top; fresh: those never used.
    """

    def __init__(self) -> None:
        super().__init__()
        self.slots: dict[int, int] = {}
        self.marks: dict[int, int] = {}
        self.stale = 0

    @initialize(nodes=st.integers(1, 4), pages=st.integers(1, 14))
    def create(self, nodes: int, pages: int) -> None:
        """A host of a few frames, spread over nodes as evenly as can be."""
        self.host = Host.create(pages=SLOTS, frames=pages, mms=1, page_size=8, nodes=nodes)
        self.h = self.host.arrays
        self.memory = self.host.add(SLOTS, bits=0)
        per_node = -(-(pages + 1) // nodes)
        self.homes = {pfn: pfn // per_node for pfn in range(1, pages + 1)}
        self.fresh = {n: [p for p in range(pages, 0, -1) if self.homes[p] == n] for n in range(nodes)}
        self.free: dict[int, list[int]] = {n: [] for n in range(nodes)}
        self.nodes = nodes

    @property
    def counts(self) -> Counter[int]:
        """References to each frame."""
        return Counter(self.slots.values())

    def hold(self, pfn: int) -> None:
        """Let an unused entry refer to a frame."""
        slot = next(slot for slot in range(SLOTS) if slot not in self.slots)
        self.slots[slot] = pfn
        self.memory.entries[slot] = PRESENT | MAPPED | (pfn << FRAME_SHIFT)

    @precondition(lambda self: len(self.slots) < SLOTS)
    @rule(node=st.integers(0, 3))
    def alloc(self, node: int) -> None:
        """From the node's freed frames, else its fresh ones, else the next node's."""
        expected = frames.NO_FRAME
        for step in range(self.nodes):
            stock = self.free[(node + step) % self.nodes] or self.fresh[(node + step) % self.nodes]
            if stock:
                expected = stock.pop()
                break
        pfn = frames.alloc_frame(self.h, node % self.nodes)
        assert pfn == expected
        if pfn != frames.NO_FRAME:
            assert frames.frame_count(self.h, pfn) == 1
            assert frames.stable_node_of(self.h, pfn) == 0
            assert frames.node_of(self.h, pfn) == self.homes[pfn]
            self.hold(pfn)

    @precondition(lambda self: len(self.slots) < SLOTS)
    @rule(choice=st.integers(0, 100))
    def get(self, choice: int) -> None:
        """A further reference; a free frame gives none."""
        pfn = sorted(self.homes)[choice % len(self.homes)]
        assert bool(frames.get_frame(self.h, pfn)) == (pfn in self.counts)
        if pfn in self.counts:
            self.hold(pfn)

    @precondition(lambda self: self.slots)
    @rule(choice=st.integers(0, 100))
    def put(self, choice: int) -> None:
        """One reference less; the last one frees the frame, and takes its mark as a KSM frame."""
        slot = sorted(self.slots)[choice % len(self.slots)]
        pfn = self.slots.pop(slot)
        self.memory.entries[slot] = 0
        frames.put_frame(self.h, pfn)
        if pfn not in self.counts:
            self.free[self.homes[pfn]].append(pfn)
            self.stale += self.marks.pop(pfn, NO_NODE) != NO_NODE

    @precondition(lambda self: self.slots)
    @rule(choice=st.integers(0, 100), node=st.sampled_from([1, 77, NO_NODE]))
    def mark(self, choice: int, node: int) -> None:
        """A frame in use becomes a KSM frame, or gets another stable node."""
        pfn = sorted(self.slots.values())[choice % len(self.slots)]
        frames.set_stable_node(self.h, pfn, node)
        self.marks[pfn] = node

    @rule()
    def put_the_zero_page(self) -> None:
        """Is nothing: it is not counted."""
        frames.put_frame(self.h, 0)

    @invariant()
    def same(self) -> None:
        """Counts, marks and lists are the model's, and the host's own check agrees."""
        if hasattr(self, "host"):
            check_host(self.h)
            counts = self.counts
            for pfn in self.homes:
                assert frames.frame_count(self.h, pfn) == counts[pfn]
                # A free frame has none, though its word holds a link where others have the node.
                assert frames.stable_node_of(self.h, pfn) == (self.marks.get(pfn, 0) if counts[pfn] else 0)
            assert frames.frames_in_use(self.h) == len(counts)
            assert self.h.ctl[CTL_STALE] == self.stale

    def teardown(self) -> None:
        """Give the memory back."""
        if hasattr(self, "host"):
            self.host.close()


TestFramePool = FramePool.TestCase
TestFramePool.settings = settings(max_examples=40, stateful_step_count=50)


@pytest.mark.parametrize("nodes", range(1, 9))
@pytest.mark.parametrize("pages", [1, 2, 7, 8, 9, 30])
def test_every_frame_can_be_had_once(nodes: int, pages: int) -> None:
    host = Host.create(pages=pages, frames=pages, nodes=nodes, page_size=8)
    assert host.frames_in_use() == 0
    got = [int(frames.alloc_frame(host.arrays, nodes // 2)) for _ in range(pages)]
    assert sorted(got) == list(range(1, pages + 1))
    assert frames.alloc_frame(host.arrays, 0) == frames.NO_FRAME
    assert host.frames_in_use() == pages
    host.close()


def test_freed_frames_are_used_before_fresh_ones() -> None:
    host = Host.create(pages=10, frames=10, page_size=8)
    first, second = (int(frames.alloc_frame(host.arrays, 0)) for _ in range(2))
    frames.put_frame(host.arrays, first)
    frames.put_frame(host.arrays, second)
    assert [int(frames.alloc_frame(host.arrays, 0)) for _ in range(3)] == [second, first, 3]
    host.close()


def test_a_free_frame_is_nobody_s_whatever_its_link_says() -> None:
    """Where a KSM frame has its stable node, a free one has the next free frame."""
    host = Host.create(pages=8, mms=1)
    memory = host.add(8)
    memory.write_pages(np.arange(3), np.ones((3, 4096), np.uint8))
    first, second, third = (int(entry) >> FRAME_SHIFT & FRAME_MASK for entry in memory.entries[:3])
    memory.discard(np.array([0, 1]))
    assert int(host.arrays.frames[second]) >> NODE_SHIFT == first
    assert frames.stable_node_of(host.arrays, second) == 0
    before = host.arrays.frames.copy()
    assert not frames.get_frame(host.arrays, second)
    assert (host.arrays.frames == before).all()
    assert frames.get_frame(host.arrays, third)
    assert int(host.arrays.frames[third]) == 2
    host.close()
