"""merge_across_nodes=0: each NUMA node's pages merge among themselves, and the figures follow from counting."""

from __future__ import annotations

from collections import Counter
from errno import EBUSY

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.ksm_host import KsmHost, frames_of
from vmdedup.errors import KnobError
from vmdedup.host.frames import node_of
from vmdedup.host.layout import CTL_THP, HUGE, MAPPED, MERGEABLE
from vmdedup.host.mover import NOT_WRITTEN, Mover, where
from vmdedup.host.space import Memory
from vmdedup.host.thp import THP_MADVISE
from vmdedup.jit import PYTHON_MODE
from vmdedup.ksm.profile import profile

# The guests: a node, and the content of each page.
GUESTS = st.lists(
    st.tuples(st.integers(0, 2), st.lists(st.integers(1, 5), min_size=1, max_size=10)), min_size=1, max_size=6
)


def node(k: KsmHost, memory: Memory, page: int) -> int:
    """The node that a page's frame lies on."""
    return int(node_of(k.host.arrays, frames_of(memory)[page]))


@settings(max_examples=30 if PYTHON_MODE else 200)
@given(GUESTS, st.booleans())
def test_what_merges_is_what_lies_on_one_node(guests: list[tuple[int, list[int]]], across: bool) -> None:
    with KsmHost(pages=60, nodes=3, frames=300, merge_across_nodes=int(across)) as k:
        memories = [k.guest(*contents, node=home) for home, contents in guests]
        for memory, (home, contents) in zip(memories, guests, strict=True):
            assert {node(k, memory, page) for page in range(len(contents))} == {home}
        sets = Counter((0 if across else home, c) for home, contents in guests for c in contents)
        shared = sum(pages > 1 for pages in sets.values())
        merging = sum(pages for pages in sets.values() if pages > 1)
        assert k.scans(2) == (shared, merging - shared, len(sets) - shared, 0)
        assert k.scans() == (shared, merging - shared, len(sets) - shared, 0)
        assert k.host.frames_in_use() == len(sets)
        for memory, (home, contents) in zip(memories, guests, strict=True):
            assert all(across or node(k, memory, page) == home for page in range(len(contents)))


def test_each_node_has_its_own_trees() -> None:
    with KsmHost(nodes=2, merge_across_nodes=0) as k:
        for home in (0, 1):
            k.guest(1, 1, 2, 2, 3, node=home)
        assert k.scans(2) == (4, 4, 2, 0)
        stable, unstable = k.ksmd.arrays.stable, k.ksmd.arrays.unstable
        assert len({int(root) for root in stable} - {0}) == 2
        assert len({int(root) for root in unstable} - {0}) == 2
        assert k.scans() == (4, 4, 2, 0)


def test_chains_form_on_each_node() -> None:
    with KsmHost(nodes=2, merge_across_nodes=0, max_page_sharing=2) as k:
        k.guest(*[1] * 4, node=0)
        k.guest(*[1] * 6, node=1)
        k.scans(2)
        assert (k.four(), k.get("stable_node_chains"), k.get("stable_node_dups")) == ((5, 5, 0, 0), 2, 5)


def test_a_page_that_had_to_go_to_another_node_merges_there() -> None:
    """Node 0 has no frame left, so a guest of node 0 gets frames of node 1."""
    with KsmHost(pages=40, frames=15, nodes=2, merge_across_nodes=0) as k:
        k.guest(*range(10, 17), node=0)
        stranger, native = k.guest(1, 1, node=0), k.guest(1, node=1)
        assert [node(k, stranger, 0), node(k, native, 0)] == [1, 1]
        assert k.scans(2)[:2] == (1, 2)
        assert len({*frames_of(stranger), *frames_of(native)}) == 1


def test_the_knob_is_refused_while_pages_are_shared() -> None:
    with KsmHost(nodes=2) as k:
        k.guest(1, 1, node=0)
        other = k.guest(1, 2, node=1)
        assert k.scans(2) == (1, 2, 1, 0)
        with pytest.raises(KnobError) as refused:
            k.ksmd.set("merge_across_nodes", "0")
        assert refused.value.errno_name == "EBUSY"
        assert k.ksmd.get("merge_across_nodes") == 1
        k.ksmd.set("run", "2")
        k.ksmd.set("merge_across_nodes", "0")
        k.ksmd.set("run", "1")
        assert k.scans(2) == (1, 1, 2, 0)
        other.write(1, b"\1" * 4096)
        assert k.scans(2) == (2, 2, 0, 0)


def test_a_child_lives_on_its_parents_node() -> None:
    with KsmHost(nodes=2, merge_across_nodes=0) as k:
        parent = k.guest(1, 2, node=1)
        child = k.fork(parent)
        child.write(0, b"x")
        assert node(k, child, 0) == 1


def nodes(k: KsmHost, memory: Memory) -> list[int]:
    """The node of each page."""
    return where(k.host, memory.mm)


def test_a_page_that_moves_is_the_same_page() -> None:
    """Its content, whether it may be stored to without a fault, and what ksmd knows of it."""
    with KsmHost(nodes=2) as k:
        memory = k.guest(1, 2, 3)
        k.scans(2)
        before, pages = memory.entries.copy(), [memory.read(page) for page in range(3)]
        assert k.ksmd.move(memory.mm, [0, 2], 1, False) == (0, [1, 1])
        assert nodes(k, memory) == [1, 0, 1]
        assert [int(entry) & 0xFFFF for entry in memory.entries] == [int(entry) & 0xFFFF for entry in before]
        assert [memory.read(page) for page in range(3)] == pages
        assert k.host.frames_in_use() == 3
        assert k.scans() == (0, 0, 3, 0)


def test_a_move_ends_where_a_frame_stays() -> None:
    """One page of a KSM frame is of a process that ksmd knows nothing of yet, and is no fork of one that it knows."""
    with KsmHost(nodes=2) as k:
        parent = k.guest(1, 2, 2, 3)
        child = k.fork(parent)
        k.scans(2)
        parent.discard(np.array([1]))
        k.scans()
        assert k.ksmd.move(child.mm, [0, 2, 3], 1, True) == (0, [1, 1, 1])
        stranger = child.fork("stranger")  # of whom ksmd is not told
        child.discard(np.array([2]))
        unwritten = [NOT_WRITTEN, NOT_WRITTEN, -EBUSY, NOT_WRITTEN]  # pages 1 and 2 are one frame, page 3 is not tried
        assert k.ksmd.move(stranger.mm, [0, 1, 2, 3], 0, True) == (2, unwritten)
        assert nodes(k, stranger) == [0, 1, 1, 1]


@pytest.mark.parametrize(("kernel", "left", "absent"), [("5.10", 0, -14), ("6.1", 1, -14), ("6.12", 1, -2)])
def test_what_versions_say_of_it(kernel: str, left: int, absent: int) -> None:
    with KsmHost(nodes=2) as k:
        k.ksmd.as_of(profile(kernel))
        memory = k.guest(1, 1, 2)
        k.scans(2)
        stranger = memory.fork("stranger")
        memory.discard(np.array([0, 1]))
        assert k.ksmd.move(stranger.mm, [0], 1, True) == (left, [NOT_WRITTEN])
        assert k.ksmd.move(memory.mm, [0], 1, True) == (0, [absent])


def test_a_node_that_is_full_takes_no_more() -> None:
    with KsmHost(pages=40, frames=15, nodes=2) as k:
        k.guest(*range(10, 15), node=1)
        memory = k.guest(1, 2, 3, 4, 5, node=0)
        assert k.ksmd.relocate(memory.mm, 1) == 2
        assert sorted(nodes(k, memory)) == [0, 0, 1, 1, 1]


def test_all_of_a_guest_goes_with_what_it_shares() -> None:
    with KsmHost(nodes=2, merge_across_nodes=0) as k:
        one, other = k.guest(1, 1, 2, 3), k.guest(2, 4)
        there = k.guest(1, 1, 5, node=1)
        assert k.scans(2) == (3, 3, 3, 0)
        assert k.ksmd.relocate(one.mm, 1) == 0
        assert (nodes(k, one), nodes(k, other), nodes(k, there)) == ([1] * 4, [1, 0], [1] * 3)
        k.scans(2)
        assert (k.four(), k.get("stable_node_chains"), k.get("stable_node_dups")) == ((3, 3, 3, 0), 1, 2)
        one.write(3, b"x")
        assert node(k, one, 3) == 1


def test_what_others_have_merged_stays() -> None:
    """The plain mover knows of nobody who would have to be told."""
    with KsmHost(nodes=2) as k:
        memory = k.guest(1, 1, 2)
        k.scans(2)
        assert Mover(k.host).relocate(memory.mm, 1) == 1
        assert nodes(k, memory) == [0, 0, 1]


def test_records_of_the_dead_lead_to_their_children_as_long_as_they_are_kept() -> None:
    with KsmHost(nodes=2) as k:
        parent = k.guest(1, 1)
        k.scans(2)
        child = parent.fork("child")
        k.ksmd.fork(parent.mm, child.mm)
        k.exit(parent)
        assert k.ksmd.move(child.mm, [0], 1, True) == (0, [1])
        k.scans()
        grandchild = child.fork("grandchild")
        k.ksmd.fork(child.mm, grandchild.mm)
        k.exit(child)
        k.scans()
        assert int(k.ksmd.arrays.slots[grandchild.mm]["parent"]) == 0
        assert k.ksmd.move(grandchild.mm, [0, 1], 0, True)[0] == 0


def test_a_huge_page_moves_as_a_whole() -> None:
    """And stays one: mapped as before, stored to without a fault."""
    with KsmHost(pages=2048, frames=6000, nodes=2) as k:
        k.host.arrays.ctl[CTL_THP] = THP_MADVISE
        memory = k.host.add(1024, "huge", 0, MAPPED | MERGEABLE | HUGE)
        memory.write_pages(np.arange(600), np.repeat(np.arange(600, dtype=np.int64)[:, np.newaxis], 512, axis=1))
        before = memory.entries.copy()
        assert k.ksmd.move(memory.mm, [3, 4, 599], 1, False) == (0, [1, -EBUSY, 1])
        assert nodes(k, memory) == [1] * 1024
        assert np.array_equal(memory.entries & 0xFFFF, before & 0xFFFF)
        assert memory.read(599) == np.full(512, 599, np.int64).tobytes()
        memory.discard(np.array([7]))
        assert k.ksmd.relocate(memory.mm, 0) == 0
        assert nodes(k, memory) == [0] * 7 + [-2] + [0] * 1016
