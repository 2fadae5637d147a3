"""What the kernel's own selftests assert, on the emulator.

Source: tools/testing/selftests/mm: ksm_functional_tests.c and ksm_tests.c (v6.18), what they check.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.ksm_host import KsmHost, frames_of
from vmdedup.host.space import Memory
from vmdedup.jit import PYTHON_MODE

PAGES = 64 if PYTHON_MODE else 512  # 2 MiB
CONTENT = 0xCF


def merging_formula(pages: int, most: int) -> tuple[int, int]:
    """pages_shared and pages_sharing of so many equal pages after two scans, at most `most` to a KSM page.

    A single page that is left over has nobody to merge with, and one that finds a full node pairs with the next.
    """
    if pages % most in (0, 1):
        return pages // most, pages // most * (most - 1)
    return pages // most + 1, pages - (pages // most + 1)


@settings(max_examples=30 if PYTHON_MODE else 300)
@given(st.integers(2, 60), st.integers(2, 20), st.sampled_from([0, 2000]))
def test_merging(pages: int, most: int, prune: int) -> None:
    """ksm_tests -M, for any number of pages and any max_page_sharing."""
    with KsmHost(max_page_sharing=most, stable_node_chains_prune_millisecs=prune) as k:
        k.guest(*[CONTENT] * pages)
        assert k.scans(2)[:2] == merging_formula(pages, most)
        # The page that is left over waits in the unstable tree.
        assert k.four()[2:] == (int(pages % most == 1), 0)
        assert k.get("stable_node_dups") == (k.four()[0] if k.four()[0] > 1 else 0)
        assert k.host.frames_in_use() == -(-pages // most)


def test_unmerging_by_writes() -> None:
    """ksm_tests -U."""
    with KsmHost() as k:
        guest = k.guest(CONTENT, CONTENT)
        assert k.scans(2)[:2] == (1, 1)
        guest.write(0, b"-")
        guest.write(1, b"+")
        assert k.scans()[:2] == (0, 0)


@pytest.mark.parametrize("use_zero_pages", [0, 1])
@given(pages=st.integers(2, 40), most=st.integers(2, 12))
@settings(max_examples=15)
def test_zero_pages(use_zero_pages: int, pages: int, most: int) -> None:
    """ksm_tests -Z: with use_zero_pages nothing is shared, without it zeros are like any content."""
    with KsmHost(use_zero_pages=use_zero_pages, max_page_sharing=most) as k:
        k.guest(*[0] * pages)
        seen = k.scans(2)[:2]
        assert seen == ((0, 0) if use_zero_pages else merging_formula(pages, most))
        assert k.get("ksm_zero_pages") == (pages if use_zero_pages else 0)


@pytest.mark.parametrize("across", [0, 1])
def test_numa(across: int) -> None:
    """ksm_tests -N: two equal pages on two nodes."""
    with KsmHost(nodes=2, merge_across_nodes=across) as k:
        k.guest(CONTENT, node=0)
        k.guest(CONTENT, node=1)
        assert k.scans(2)[:2] == ((1, 1) if across else (0, 0))


def merged(k: KsmHost) -> Memory:
    """A guest of PAGES equal pages after two scans."""
    guest = k.guest(*[CONTENT] * PAGES)
    k.scans(2)
    assert k.ksmd.ksm_stat(guest.mm)["ksm_merging_pages"] == PAGES
    return guest


def has_duplicates(guest: Memory) -> bool:
    """Whether two of its present pages are one frame."""
    frames = [frame for frame in frames_of(guest) if frame]
    return len(set(frames)) < len(frames)


def test_unmerge() -> None:
    with KsmHost(PAGES) as k:
        guest = merged(k)
        assert has_duplicates(guest)
        guest.unmergeable(0, PAGES - 1)
        assert not has_duplicates(guest)


def test_unmerge_zero_pages() -> None:
    with KsmHost(PAGES, use_zero_pages=1) as k:
        guest = k.guest(*[0] * PAGES)
        k.scans(2)
        assert k.ksmd.ksm_stat(guest.mm)["ksm_zero_pages"] == PAGES
        half = PAGES // 2
        guest.unmergeable(0, half - 1)
        assert k.ksmd.ksm_stat(guest.mm)["ksm_zero_pages"] == PAGES - half
        k.fill(guest, range(half, PAGES), tuple([1] * (PAGES - half)))
        assert k.ksmd.ksm_stat(guest.mm)["ksm_zero_pages"] == 0
        assert not has_duplicates(guest)


def test_unmerge_discarded() -> None:
    with KsmHost(PAGES) as k:
        guest = merged(k)
        guest.discard(np.arange(PAGES // 2))
        guest.unmergeable(0, PAGES - 1)
        assert not has_duplicates(guest)


def test_fork_counts_no_merging_pages_for_the_child() -> None:
    with KsmHost(2 * PAGES) as k:
        child = k.fork(merged(k))
        assert k.ksmd.ksm_stat(child.mm)["ksm_merging_pages"] == 0
        assert k.ksmd.ksm_stat(child.mm)["ksm_rmap_items"] == 0


def test_zero_pages_of_a_fork_are_counted_and_given_back() -> None:
    with KsmHost(2 * PAGES, use_zero_pages=1) as k:
        guest = k.guest(*[0] * PAGES)
        k.scans(2)
        child = k.fork(guest)
        assert k.get("ksm_zero_pages") == 2 * PAGES
        k.exit(child)
        assert k.get("ksm_zero_pages") == PAGES
        k.ksmd.set("run", "2")
        assert k.get("ksm_zero_pages") == 0
