"""ksmd's own face: what it answers, what happens when memory or records run out, and how another one takes over."""

from __future__ import annotations

import numpy as np
import pytest

from kit.ksm_host import KsmHost, frames_of
from vmdedup.errors import HostError, KnobError
from vmdedup.host.layout import MM_DEAD, MM_FREE, NO_NODE, NODE_SHIFT
from vmdedup.host.memory import Host
from vmdedup.ksm import layout
from vmdedup.ksm.ksmd import Ksmd
from vmdedup.ksm.sysfs import COUNTERS, PROCESS_COUNTERS, TUNABLES


def test_its_answers_have_the_kernels_names_in_order() -> None:
    with KsmHost() as k:
        guest = k.guest(1, 1)
        assert list(k.ksmd.counters()) == list(COUNTERS)
        assert list(k.ksmd.ksm_stat(guest.mm)) == list(PROCESS_COUNTERS)
        assert list(k.ksmd.knobs()) == list(TUNABLES)
        assert k.ksmd.knobs() == {**Ksmd.defaults(), "run": 1, "smart_scan": 0}
        k.scans(2)
        assert k.ksmd.ksm_stat(guest.mm) == {
            "ksm_rmap_items": 2,
            "ksm_zero_pages": 0,
            "ksm_merging_pages": 2,
            "ksm_process_profit": 2 * 4096 - 2 * 64,
        }
        assert k.ksmd.metadata_bytes() == {
            "rmap_items": 2 * layout.rmap_item_dtype.itemsize,
            "stable_nodes": layout.stable_node_dtype.itemsize,
        }


def test_metadata_stays_small() -> None:
    """At most 64 bytes for a guest's page: its rmap_item, its entry, its frame word, and no more nodes than frames."""
    assert layout.rmap_item_dtype.itemsize + 8 + 8 <= 64
    assert layout.stable_node_dtype.itemsize <= 40


@pytest.mark.parametrize("run", ["0", "2"])
def test_it_does_nothing_when_it_is_stopped(run: str) -> None:
    with KsmHost() as k:
        k.guest(1, 1)
        k.ksmd.set("run", run)
        assert (k.ksmd.scan(10), k.ksmd.full_scan(), k.get("pages_scanned")) == (0, 0, 0)
        assert not k.ksmd.should_run()


def test_it_does_nothing_where_nobody_is() -> None:
    with KsmHost() as k:
        assert (k.ksmd.scan(10), k.ksmd.full_scan(), k.get("full_scans")) == (0, 0, 0)


def test_entering_twice_is_entering_once() -> None:
    with KsmHost() as k:
        guest = k.guest(1)
        k.ksmd.enter(guest.mm)
        assert k.scans() == (0, 0, 0, 1)
        assert k.get("pages_scanned") == 1


@pytest.mark.parametrize("visited", [False, True])
def test_a_dead_guests_record_is_free_once_ksmd_knows_nothing_of_it(visited: bool) -> None:
    with KsmHost() as k:
        k.guest(5)
        gone = k.guest(1, 1)
        if visited:
            k.scans(2)
        k.exit(gone)
        state = k.host.arrays.mms[gone.mm]["state"]
        assert state == (MM_DEAD if visited else MM_FREE)
        k.scans()
        assert k.host.arrays.mms[gone.mm]["state"] == MM_FREE
        assert not k.ksmd.is_entered(gone.mm)
        heir = k.guest(1, 2)
        assert heir.mm == gone.mm
        assert k.ksmd.ksm_stat(heir.mm)["ksm_rmap_items"] == 0


def test_a_guest_that_ksmd_never_saw_leaves_at_once() -> None:
    with KsmHost() as k:
        guest = k.host.add(2)
        k.exit(guest)
        assert k.host.arrays.mms[guest.mm]["state"] == MM_FREE


def test_the_guest_under_the_cursor_may_exit() -> None:
    with KsmHost() as k:
        guest, other = k.guest(1, 1, 2), k.guest(1)
        k.scans()
        k.ksmd.scan(2)
        assert k.four() == (1, 1, 0, 2)
        k.exit(guest)
        assert k.four() == (1, 1, 0, 2)
        k.scans()
        assert k.four() == (0, 0, 1, 0)
        assert other.read(0) == b"\1" * 4096


@pytest.mark.parametrize("page_size", [8, 64])
def test_pages_of_another_size_merge_as_pages_do(page_size: int) -> None:
    """Eight bytes may stand for a page's content: the same decisions, whatever a page's size."""
    contents = np.random.default_rng(4).integers(0, 90, 120)
    figures = []
    for size in (page_size, 4096):
        host = Host.create(pages=120, mms=2, page_size=size)
        ksmd = Ksmd(host)
        for knob, text in {"run": "1", "smart_scan": "0", "max_page_sharing": "2"}.items():
            ksmd.set(knob, text)
        guest = host.add(120, "guest")
        ksmd.enter(guest.mm)
        data = np.zeros((120, size), np.uint8)
        data[:, size - 1] = contents
        guest.write_pages(np.arange(120), data)
        ksmd.full_scan()
        ksmd.scan(70)
        guest.write(3, b"x")
        for _ in range(2):
            ksmd.full_scan()
        counters = ksmd.counters()
        merged = counters["pages_sharing"]
        assert counters.pop("general_profit") == merged * size - 120 * 64
        figures.append((counters, frames_of(guest)))
        assert guest.read(5) == data[5].tobytes()
        host.check()
        ksmd.check()
        host.close()
    assert figures[0] == figures[1]


# When something runs out


def test_unmerging_without_memory_stops_with_enomem_and_a_sound_host() -> None:
    with KsmHost(pages=16, frames=8) as k:
        guest = k.guest(*[1] * 8)
        assert k.scans(2) == (1, 7, 0, 0)
        k.guest(2, 3, 4, 5)  # 5 of 8 frames are in use, and 7 more copies are wanted
        with pytest.raises(KnobError) as refused:
            k.ksmd.set("run", "2")
        assert refused.value.errno_name == "ENOMEM"
        assert k.ksmd.get("run") == 0
        k.host.check()
        assert guest.read(7) == b"\1" * 4096
        assert k.host.frames_in_use() == 8
        k.ksmd.set("run", "1")
        k.scans(2)
        assert k.host.frames_in_use() == 5


def test_unmergeable_without_memory_is_an_error_in_the_guest() -> None:
    with KsmHost(pages=16, frames=8) as k:
        guest = k.guest(*[1] * 8)
        k.scans(2)
        k.guest(2, 3, 4, 5)
        with pytest.raises(HostError, match="exhausted"):
            guest.unmergeable(0, 7)
        k.host.check()
        assert [page[:1] for page in (guest.read(0), guest.read(7))] == [b"\1", b"\1"]


def test_without_a_record_for_a_node_two_pages_stay_as_they_were() -> None:
    with KsmHost() as k:
        guest = k.guest(1, 1, 2, 2)
        k.scans()
        k.ksmd.arrays.st[0]["fresh_node"] = len(k.ksmd.arrays.nodes)
        assert k.scans()[:2] == (0, 0)
        assert len(set(frames_of(guest))) == 4
        k.ksmd.arrays.st[0]["fresh_node"] = 1
        assert k.scans(2)[:2] == (2, 2)


def test_without_a_record_for_a_chain_the_new_node_is_given_up() -> None:
    with KsmHost(max_page_sharing=2) as k:
        guest = k.guest(1, 1, 1, 1)
        k.scans()
        k.ksmd.scan(2)
        assert k.four()[:2] == (1, 1)
        k.ksmd.arrays.st[0]["fresh_node"] = len(k.ksmd.arrays.nodes) - 1
        k.ksmd.scan(2)
        assert k.four()[:2] == (1, 1)
        assert k.get("stable_node_chains") == 0
        assert len(set(frames_of(guest))) == 3
        k.ksmd.scan(1)
        k.ksmd.arrays.st[0]["fresh_node"] = 3
        assert k.scans(2)[:2] == (2, 2)


# Another ksmd takes over


def test_a_successor_keeps_what_is_merged() -> None:
    with KsmHost(max_page_sharing=3) as k:
        guest = k.guest(*[1] * 7, 2, 2, 3)
        shared = k.scans(2)
        merged, totals = frames_of(guest), k.ksmd.counters()
        k.ksmd = Ksmd(k.host)
        for knob, text in {"max_page_sharing": "3", "smart_scan": "0", "run": "1"}.items():
            k.ksmd.set(knob, text)
        k.ksmd.take_over()
        k.ksmd.check()
        for name in ("full_scans", "pages_scanned", "pages_skipped"):
            assert k.get(name) == 0
        assert k.get("stable_node_dups") == totals["stable_node_dups"]
        assert k.four() == (0, 0, 0, 0)
        k.ksmd.enter(guest.mm)
        assert k.scans()[:2] == shared[:2]
        assert k.scans() == shared
        assert [frame for frame in merged if merged.count(frame) > 1] == [
            frame for frame in frames_of(guest) if frames_of(guest).count(frame) > 1
        ]
        assert k.get("full_scans") == 2


def test_a_successor_gives_every_merged_frame_a_node() -> None:
    with KsmHost() as k:
        guest = k.guest(1, 1, 2, 2)
        k.scans(2)
        k.host.arrays.frames[frames_of(guest)[0]] |= NO_NODE << NODE_SHIFT  # its ksmd died before it had one
        k.ksmd = Ksmd(k.host)
        k.ksmd.take_over()
        nodes = {int(k.host.arrays.frames[frame]) >> NODE_SHIFT for frame in frames_of(guest)}
        assert nodes == {1, 2}
        k.ksmd.check()
