"""Traces recorded from a Linux 6.18 kernel with smart_scan=0: shared, sharing, unshared, volatile after each step."""

from __future__ import annotations

import numpy as np
import pytest

from kit.ksm_host import KsmHost, frames_of
from vmdedup.host.layout import PIN, ZERO
from vmdedup.ksm.layout import CHAIN
from vmdedup.ksm.profile import profile


def test_six_equal_pages_merge_on_the_second_ones_frame() -> None:
    with KsmHost() as k:
        guest = k.guest(*[1] * 6)
        second = frames_of(guest)[1]
        assert k.scans() == (0, 0, 0, 6)
        expected = [(0, 0, 1, 5), (1, 1, 0, 4), (1, 2, 0, 3), (1, 3, 0, 2), (1, 4, 0, 1), (1, 5, 0, 0)]
        assert k.steps(*[1] * 6) == expected
        assert frames_of(guest) == [second] * 6
        assert k.get("general_profit") == 5 * 4096 - 6 * 64 == 20096
        assert k.host.frames_in_use() == 1


def test_ten_unique_pages_in_batches_of_three() -> None:
    with KsmHost() as k:
        k.guest(*range(1, 11))
        scanned, before = [], 0
        for _ in range(4):
            k.ksmd.scan(3)
            scanned.append(k.get("pages_scanned") - before)
            before = k.get("pages_scanned")
        assert scanned == [3, 3, 3, 1]
        assert (k.four(), k.get("full_scans")) == ((0, 0, 0, 10), 1)
        assert k.get("general_profit") == -640
        assert k.scans() == (0, 0, 10, 0)
        assert k.steps(3, 3, 3, 3) == [(0, 0, 10, 0)] * 4


def test_a_batch_that_ends_on_the_last_page_leaves_the_scan_open() -> None:
    with KsmHost() as k:
        k.guest(*range(1, 11))
        ended = []
        for _ in range(3):
            k.ksmd.scan(5)
            ended.append((k.get("pages_scanned"), k.get("full_scans")))
        assert ended == [(5, 0), (10, 0), (10, 1)]


def test_a_forks_pages_are_counted_when_they_are_visited() -> None:
    with KsmHost() as k:
        parent = k.guest(1, 1, 2, 3)
        assert k.scans(2) == (1, 1, 2, 0)
        child = k.fork(parent)
        assert k.ksmd.ksm_stat(child.mm)["ksm_merging_pages"] == 0
        assert k.scans() == (1, 3, 2, 2)
        assert k.scans() == (1, 3, 2, 2)
        k.exit(child)
        assert k.four() == (1, 3, 2, 2)
        assert k.scans() == (1, 1, 2, 0)


def test_the_dead_are_cleaned_up_when_ksmd_comes_by() -> None:
    with KsmHost() as k:
        a = k.guest(1, 1, 1)
        k.guest(2)
        assert k.scans(2) == (1, 2, 1, 0)
        k.ksmd.set("run", "0")
        k.exit(a)
        assert k.four() == (1, 2, 1, 0)
        k.ksmd.set("run", "1")
        assert k.steps(1) == [(0, 0, 1, 0)]


def five(k: KsmHost) -> tuple[int, ...]:
    """shared, sharing, unshared, chains, dups."""
    return (*k.four()[:3], k.get("stable_node_chains"), k.get("stable_node_dups"))


def test_full_pages_form_chains() -> None:
    with KsmHost(max_page_sharing=3, stable_node_chains_prune_millisecs=0) as k:
        guest = k.guest(*[1] * 8)
        k.scans()
        seen = []
        for _ in range(8):
            k.ksmd.scan(1)
            seen.append(five(k))
        assert seen[2:] == [
            (1, 2, 0, 0, 0),
            (1, 2, 1, 0, 0),
            (2, 3, 0, 1, 2),
            (2, 4, 0, 1, 2),
            (2, 4, 1, 1, 2),
            (3, 5, 0, 1, 3),
        ]
        k.ksmd.scan(1)  # the end of that scan
        k.fill(guest, range(3), (11, 12, 13))  # one whole copy
        assert five(k) == (3, 5, 0, 1, 3)
        k.scans()
        assert (k.four(), k.get("stable_node_chains"), k.get("stable_node_dups")) == ((2, 3, 0, 3), 1, 2)
        assert k.scans() == (2, 3, 3, 0)
        k.fill(guest, range(1), (1,))
        k.fill(guest, range(3, 4), (1,))
        assert k.scans(2) == (2, 4, 2, 0)


@pytest.mark.parametrize(
    ("written", "chosen"),
    [
        ((0, 3, 6), 7),  # all three have room for one more: the newest is taken
        ((0, 1, 3, 4, 6), 7),  # the newest is the fullest that has room
        ((0, 3, 4, 6, 7), 1),  # the oldest is
        ((0, 1, 3, 6, 7), 4),  # the one between is
        ((0, 1, 3, 4, 6, 7), 8),  # all have one sharer left
        ((0, 3), 4),  # the newest is full
    ],
)
def test_a_chain_that_is_pruned_gives_its_fullest_copy_with_room(written: tuple[int, ...], chosen: int) -> None:
    """Three copies with three sharers each, the newest (pages 6 to 8) first; of equals the first is taken."""
    with KsmHost(max_page_sharing=3, stable_node_chains_prune_millisecs=0) as k:
        guest = k.guest(*[1] * 9)
        k.scans(2)
        assert (k.get("stable_node_dups"), k.four()) == (3, (3, 6, 0, 0))
        new = k.guest(1)
        for page in written:
            k.fill(guest, range(page, page + 1), (50 + page,))
        k.scans(2)
        assert frames_of(new)[0] == frames_of(guest)[chosen]


@pytest.mark.parametrize("start", [0, 1000, 5000, (1 << 31) - 1000])
def test_a_chain_is_pruned_when_its_time_has_come(start: int) -> None:
    """Again after so many milliseconds, which are counted in 31 bits."""
    with KsmHost(max_page_sharing=3, stable_node_chains_prune_millisecs=2000) as k:

        def pruned(after: int) -> int:
            """When the chain was last pruned, as ksmd has it after a scan so long after the start."""
            k.ksmd.now_ms = start + after
            k.scans()
            (last,) = {int(node["prune_time"]) for node in k.ksmd.arrays.nodes if node["flags"] & CHAIN}
            return (last - start) & 0x7FFFFFFF

        k.guest(*[1] * 9, 2)  # what is merged with nothing is looked up in every scan
        k.ksmd.now_ms = start
        k.scans()
        assert [pruned(after) for after in (0, 1999, 2000, 3999, 4001)] == [0, 0, 2000, 2000, 4001]


@pytest.mark.parametrize("kernel", ["5.10", "6.18"])
def test_a_page_is_read_for_its_checksum_at_every_look_until_it_is_merged(kernel: str) -> None:
    with KsmHost() as k:
        k.ksmd.as_of(profile(kernel))
        k.guest(1, 2, 3, 1)
        hashed = [(k.scans(), int(k.ksmd.arrays.st[0]["hashed"]))[1] for _ in range(4)]
        assert hashed == [4, 4 + 4, 4 + 4 + 2, 4 + 4 + 2 + 2]


@pytest.mark.parametrize(
    ("pinned", "expected", "after"),
    [(0, [(0, 0, 1, 2)] * 3, (1, 2, 0, 0)), (1, [(0, 0, 1, 2), (0, 0, 1, 2), (1, 1, 0, 1)], (1, 2, 0, 0))],
)
def test_a_page_with_an_extra_reference_does_not_merge(pinned: int, expected: list[object], after: object) -> None:
    with KsmHost() as k:
        guest = k.guest(1, 1, 1)
        k.scans()
        guest.entries[pinned] |= PIN
        assert k.steps(1, 1, 1) == expected
        k.ksmd.scan(1)
        guest.entries[pinned] &= ~PIN
        assert k.scans() == after


def test_a_pinned_partner_costs_a_copy_each_time() -> None:
    with KsmHost() as k:
        guest = k.guest(1, 1, 1)
        k.scans()
        guest.entries[0] |= PIN
        before = frames_of(guest)
        k.scans()
        assert [now == then for now, then in zip(frames_of(guest), before, strict=True)] == [True, False, False]
        assert guest.counter("cow_ksm") == 2
        guest.entries[0] &= ~PIN


def test_zero_pages() -> None:
    with KsmHost(use_zero_pages=1) as k:
        guest = k.guest(0, 0, 0, 0, 1)

        def seen() -> tuple[object, int]:
            return k.four(), k.get("ksm_zero_pages")

        k.scans()
        assert seen() == ((0, 0, 0, 5), 0)
        k.scans()
        assert seen() == ((0, 0, 1, 4), 4)
        assert k.host.frames_in_use() == 1
        k.scans()
        assert seen() == ((0, 0, 1, 0), 4)
        guest.write(0, b"\0")
        assert k.get("ksm_zero_pages") == 3
        child = k.fork(guest)
        assert (k.get("ksm_zero_pages"), k.ksmd.ksm_stat(child.mm)["ksm_zero_pages"]) == (6, 3)
        k.scans(2)
        assert seen() == ((0, 0, 1, 3), 8)
        k.exit(child)
        assert k.get("ksm_zero_pages") == 4
        guest.unmergeable(0, 1)
        assert k.get("ksm_zero_pages") == 2
        assert guest.counter("cow_ksm") == 0
        k.ksmd.set("run", "2")
        assert seen() == ((0, 0, 0, 0), 0)
        assert guest.read(0) == guest.read(3) == bytes(4096)
        assert k.host.frames_in_use() == 5


def test_placed_zero_pages_go_with_their_mapping() -> None:
    with KsmHost(use_zero_pages=1) as k:
        guest = k.guest(0, 0, 0)
        k.scans(2)
        assert [bool(entry & ZERO) for entry in guest.entries.tolist()] == [True] * 3
        guest.discard(np.array([0]))
        assert k.get("ksm_zero_pages") == 2
        guest.unmap(1, 1)
        assert k.get("ksm_zero_pages") == 1
        k.exit(guest)
        assert k.get("ksm_zero_pages") == 0


def test_one_unique_page_under_smart_scan() -> None:
    with KsmHost(smart_scan=1) as k:
        k.guest(1)
        letters = ""
        for _ in range(60):
            skipped = k.get("pages_skipped")
            k.scans()
            letters += "s" if k.get("pages_skipped") > skipped else "U" if k.get("pages_unshared") else "V"
        assert letters == ("VUUUsUssUssssUssssssssU" + "ssssssssU" * 5)[:60]
        assert (k.get("pages_scanned"), k.get("pages_skipped")) == (12, 48)


def test_age_ends_at_255() -> None:
    """It has eight bits, and does not start again."""
    with KsmHost(smart_scan=1) as k:
        guest = k.guest(1)
        k.scans(300)
        assert int(k.ksmd.arrays.items[k.host.arrays.mms[guest.mm]["first"]]["age"]) == 255
        assert k.get("pages_scanned") == 7 + (300 - 14) // 9  # VUUUsUssUssssU, then eight skips to a visit


def test_merged_pages_do_not_age() -> None:
    """A page merged at age 2 and broken 18 scans later goes on as a page of that age."""
    with KsmHost(smart_scan=1) as k:
        guest = k.guest(1, 1)
        k.scans(20)
        guest.write(0, b"other")
        letters = ""
        for _ in range(16):
            skipped = k.get("pages_skipped")
            k.scans()
            letters += "s" if k.get("pages_skipped") > skipped else "U" if k.get("pages_unshared") else "V"
        assert letters == "VUsUssUssssUssss"


# What writes, exits and advice do to merged pages


def test_a_merged_page_that_is_written_is_copied_even_by_its_last_sharer() -> None:
    with KsmHost() as k:
        guest = k.guest(1, 1)
        assert k.scans(2) == (1, 1, 0, 0)
        guest.write(0, b"x")
        assert k.four() == (1, 1, 0, 0)
        assert k.scans() == (1, 0, 0, 1)
        assert k.scans() == (1, 0, 1, 0)
        guest.write(1, b"y")
        assert (k.four(), guest.counter("cow_ksm")) == ((1, 0, 1, 0), 2)
        assert k.scans()[:2] == (0, 0)


def test_a_stale_node_takes_all_its_sharers_with_it() -> None:
    with KsmHost() as k:
        guest = k.guest(1, 1)
        k.scans(2)
        k.fill(guest, range(2), (2, 3))
        assert k.steps(1) == [(0, 0, 0, 2)]


def test_the_same_content_stored_again_is_a_copy_that_merges_again() -> None:
    with KsmHost() as k:
        guest = k.guest(1, 1, 1)
        k.scans(2)
        k.fill(guest, range(1), (1,))
        assert guest.counter("cow_ksm") == 1
        assert k.host.frames_in_use() == 2
        assert k.scans() == (1, 2, 0, 0)
        assert k.host.frames_in_use() == 1


def test_unmergeable_pages_are_private_at_once_and_forgotten_later() -> None:
    with KsmHost() as k:
        guest = k.guest(1, 1, 1, 1)
        k.scans(2)
        guest.unmergeable(0, 3)
        assert len(set(frames_of(guest))) == 4
        assert (k.four(), k.ksmd.ksm_stat(guest.mm)["ksm_merging_pages"]) == ((1, 3, 0, 0), 4)
        k.scans()
        assert k.four() == (0, 0, 0, 0)
        assert k.ksmd.ksm_stat(guest.mm)["ksm_rmap_items"] == 0
        assert not k.ksmd.is_entered(guest.mm)


def test_a_forks_child_without_advice_keeps_a_page_that_no_counter_knows() -> None:
    with KsmHost() as k:
        parent = k.guest(1, 1, 1)
        child = parent.fork("child")
        child.unmergeable(0, 2)
        k.scans(2)
        k.ksmd.set("run", "2")
        assert k.four() == (0, 0, 0, 0)
        k.ksmd.set("run", "1")
        k.scans(2)
        assert (k.get("stable_node_chains"), k.get("stable_node_dups"), k.four()[:2]) == (1, 2, (1, 2))
        assert child.read(1) == b"\1" * 4096


def test_a_node_without_counted_sharers_takes_none() -> None:
    """Only a fork's child that ksmd has not come to maps it; equal pages make a node of their own beside it."""
    with KsmHost() as k:
        parent = k.guest(1, 1)
        k.scans(2)
        child = parent.fork("child")
        k.fill(parent, range(2), (2, 3))
        assert k.scans(2) == (0, 0, 2, 0)
        newcomer = k.guest(1, 1)
        assert k.scans(2)[:2] == (1, 1)
        assert (k.get("stable_node_chains"), k.get("stable_node_dups")) == (1, 2)
        assert frames_of(newcomer)[0] != frames_of(child)[0]
        k.ksmd.enter(child.mm)  # its pages are counted, and there is room again
        assert k.scans()[:2] == (2, 2)


def test_new_guests_are_visited_last_in_a_scan_that_is_under_way() -> None:
    """Guests A, B, C, the scan in B; then B forks c, A forks d, and N starts: the list is A, c, d, N, B, C."""
    with KsmHost() as k:
        a, b, c = k.guest(1), k.guest(2, 3), k.guest(4)
        k.ksmd.scan(2)
        new = [k.fork(b), k.fork(a), k.guest(5)]
        order, mm = [], int(k.ksmd.arrays.slots[0]["next"])
        while mm:
            order.append(mm)
            mm = int(k.ksmd.arrays.slots[mm]["next"])
        assert order == [a.mm, *(memory.mm for memory in new), b.mm, c.mm]
        k.ksmd.set("run", "2")
        last = k.guest(6)
        assert int(k.ksmd.arrays.slots[0]["prev"]) == last.mm
