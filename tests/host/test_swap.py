"""Swap: pages out with all that map them, in again by who needs them; devices; damage found; what is full."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from vmdedup.errors import HostError, InvariantError
from vmdedup.host.frames import set_stable_node
from vmdedup.host.layout import (
    CTL_SWAP,
    CTL_SWAP_FRAMES,
    CTL_SWAP_HEAD,
    FRAME_MASK,
    FRAME_SHIFT,
    NO_NODE,
    PIN,
    WRITABLE,
)
from vmdedup.host.memory import Host
from vmdedup.host.space import Memory
from vmdedup.host.swap import SwapFigures, empty_cache, swap_figures, swap_off, swap_on, swap_out
from vmdedup.host.swap_device import Kind, SwapDevice

PAGES = 8
KINDS: tuple[Kind, ...] = ("disk", "zram", "zswap")


def contents() -> np.ndarray:
    """Pages that compress, but for the last; one of zeros, and one of a word."""
    random = np.random.default_rng(7)
    rows = random.integers(0, 3, (PAGES, 4096)).astype(np.uint8)
    rows[2], rows[3] = 0, 9
    rows[-1] = random.integers(0, 256, 4096)
    return rows


def entries_of(memory: Memory) -> np.ndarray:
    """The numbers of all its page table entries."""
    first = int(memory.host.arrays.mms[memory.mm]["first"])
    return np.arange(first, first + memory.pages)


def pfn_of(memory: Memory, page: int) -> int:
    return (int(memory.entries[page]) >> FRAME_SHIFT) & FRAME_MASK


class Bench:
    """A host with one guest, its fork, and a stranger that shares a KSM frame with the guest, at another page."""

    def __init__(self, device: SwapDevice) -> None:
        self.host = Host.create(80, mms=5, swap=device)
        self.rows = contents()
        self.guest = self.host.add(PAGES, "guest")
        self.guest.write_pages(np.arange(PAGES), self.rows)
        self.fork = self.guest.fork("fork")
        self.fork.write(0, b"its own")
        self.stranger = self.host.add(PAGES, "stranger")
        self.share(1, 5)
        self.all = np.concatenate([entries_of(memory) for memory in (self.guest, self.fork, self.stranger)])

    def share(self, page: int, other_page: int, node: int = 5) -> None:
        """Let the stranger's page map the frame of the guest's, a KSM frame."""
        pfn = pfn_of(self.guest, page)
        self.host.arrays.frames[pfn] += 1
        self.guest.entries[page] &= ~WRITABLE
        self.stranger.entries[other_page] = self.guest.entries[page]
        set_stable_node(self.host.arrays, pfn, node)

    def check(self) -> None:
        self.host.check()
        assert (self.guest.read_pages(np.arange(PAGES)) == self.rows).all()
        forked = self.rows.copy()
        forked[0, :7] = np.frombuffer(b"its own", np.uint8)
        assert (self.fork.read_pages(np.arange(PAGES)) == forked).all()
        assert self.stranger.read(5) == self.rows[1].tobytes()
        self.host.check()


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(SwapDevice(request.param))
    yield made
    made.host.close()


@pytest.fixture
def disk() -> Iterator[Bench]:
    made = Bench(SwapDevice("disk"))
    yield made
    made.host.close()


def figures(bench: Bench) -> SwapFigures:
    return swap_figures(bench.host)


def test_all_goes_and_comes_back(bench: Bench) -> None:
    assert swap_out(bench.host, bench.all) == PAGES + 1
    bench.host.check()
    out = figures(bench)
    assert (out.records, out.entries, out.cached) == (PAGES + 1, 2 * PAGES + 1, 0)
    assert bench.host.frames_in_use() == out.pool_frames
    assert out.on_disk + out.one_word + out.packed == PAGES + 1
    assert bench.host.distinct() == PAGES + 1
    bench.check()
    assert figures(bench)[:9] == (0, figures(bench).size, 0, 0, 0, 0, 0, 0, 0)
    assert bench.guest.counter("swapped_in") == PAGES


def test_what_each_device_keeps() -> None:
    kept = {}
    for kind in KINDS:
        bench = Bench(SwapDevice(kind))
        swap_out(bench.host, bench.all)
        kept[kind] = figures(bench)
        bench.host.close()
    assert (kept["disk"].on_disk, kept["disk"].pool_frames, kept["disk"].pswpout) == (9, 0, 9)
    zram, zswap = kept["zram"], kept["zswap"]
    # The page of noise is kept as it is by zram, and goes to the disk behind zswap.
    assert (zram.one_word, zram.packed, zram.on_disk, zram.pswpout, zram.zswpout) == (2, 7, 0, 9, 0)
    assert (zswap.one_word, zswap.packed, zswap.on_disk, zswap.pswpout, zswap.zswpout) == (2, 6, 1, 1, 8)
    assert zram.packed_bytes == zswap.packed_bytes + 4096
    for each in (zram, zswap):
        # Cells are a thirty-second of a frame, so half of one is lost for each page, and part of the last frame.
        assert each.packed_bytes <= each.pool_frames * 4096 <= each.packed_bytes + each.packed * 128 + 4096


def test_relatives_share_what_is_read_in_and_strangers_have_copies(bench: Bench) -> None:
    swap_out(bench.host, bench.all)
    for memory in (bench.guest, bench.fork):
        memory.touch(np.arange(1, PAGES))
    assert [pfn_of(bench.guest, page) == pfn_of(bench.fork, page) for page in range(1, PAGES)] == [True] * (PAGES - 1)
    assert figures(bench).ksm_swpin_copy == 0
    bench.stranger.touch(np.array([5]))
    assert pfn_of(bench.stranger, 5) != pfn_of(bench.guest, 1)
    assert figures(bench).ksm_swpin_copy == 1
    bench.check()


def test_a_store_brings_in_and_copies_what_others_wait_for(bench: Bench) -> None:
    swap_out(bench.host, bench.all)
    bench.guest.write_pages(np.array([1]), bench.rows[4:5])
    assert (figures(bench).pswpin + figures(bench).zswpin, figures(bench).cached) == (1, 1)
    bench.rows[1] = bench.rows[4]
    assert bench.stranger.read(5) == contents()[1].tobytes()
    assert bench.fork.read(1) == contents()[1].tobytes()
    bench.host.check()
    assert figures(bench).cached == 0


def test_the_cache_gives_the_same_frame_back(disk: Bench) -> None:
    before = [pfn_of(disk.guest, page) for page in range(PAGES)]
    swap_out(disk.host, disk.all, stays=True)
    disk.host.check()
    assert figures(disk).cached == figures(disk).records == PAGES + 1
    disk.stranger.touch(np.array([5]))
    disk.guest.touch(np.arange(PAGES))
    assert [pfn_of(disk.guest, page) for page in range(PAGES)] == before
    assert pfn_of(disk.stranger, 5) == before[1]
    assert (figures(disk).pswpin, figures(disk).ksm_swpin_copy) == (0, 0)
    disk.check()


def test_a_ksm_frame_without_node_is_copied_by_all(disk: Bench) -> None:
    set_stable_node(disk.host.arrays, pfn_of(disk.guest, 1), NO_NODE)
    swap_out(disk.host, disk.all, stays=True)
    disk.check()
    assert figures(disk).ksm_swpin_copy == 3


def test_emptying_the_cache(disk: Bench) -> None:
    swap_out(disk.host, disk.all, stays=True)
    disk.guest.touch(np.arange(4))
    assert empty_cache(disk.host) == PAGES + 1 - 4  # those that are mapped stay there
    assert figures(disk).cached == 3  # nobody waits for page 0 any more
    assert disk.host.frames_in_use() == 4
    disk.check()


def test_who_is_not_found_keeps_the_frame(disk: Bench) -> None:
    lost = int(entries_of(disk.stranger)[5])
    frame = pfn_of(disk.stranger, 5)
    assert swap_out(disk.host, disk.all, unfound=[lost]) == PAGES + 1
    disk.host.check()
    assert (pfn_of(disk.stranger, 5), figures(disk).cached, disk.host.frames_in_use()) == (frame, 1, 1)
    disk.guest.touch(np.array([1]))
    assert pfn_of(disk.guest, 1) == frame
    disk.check()


def test_what_is_shared_can_be_left_alone(disk: Bench) -> None:
    assert swap_out(disk.host, disk.all, own=True) == 2  # page 0 of the guest and of its fork
    disk.check()


def test_a_page_in_the_cache_goes_to_its_own_record_again(disk: Bench) -> None:
    swap_out(disk.host, disk.all)
    disk.guest.touch(np.arange(PAGES))
    written = figures(disk).pswpout
    assert swap_out(disk.host, entries_of(disk.guest)) == PAGES
    disk.host.check()
    assert (figures(disk).records, figures(disk).entries) == (PAGES + 1, 2 * PAGES + 1)
    assert figures(disk).pswpout == written + 1  # only page 0 was waited for by nobody
    disk.check()


def test_what_its_owner_has_pinned_keeps_its_frame(disk: Bench) -> None:
    disk.guest.entries[1] |= PIN
    frame = pfn_of(disk.guest, 1)
    swap_out(disk.host, disk.all)
    disk.guest.entries[1] &= ~PIN
    assert pfn_of(disk.guest, 1) == frame
    disk.check()


@pytest.mark.parametrize("leave", [Memory.exit, lambda memory: memory.discard(np.arange(PAGES))])
def test_who_leaves_gives_back_what_it_had_out(bench: Bench, leave: Callable[[Memory], None]) -> None:
    swap_out(bench.host, bench.all)
    for memory in (bench.guest, bench.fork, bench.stranger):
        leave(memory)
        bench.host.check()
    assert (figures(bench).records, bench.host.frames_in_use()) == (0, 0)


def test_recovery_keeps_what_the_living_have_out(bench: Bench) -> None:
    swap_out(bench.host, bench.all)
    bench.fork.touch(np.array([1, 2, 3, 7]))
    bench.host.bury(bench.fork.mm)
    bench.host.recover()
    bench.host.check()
    assert (bench.guest.read_pages(np.arange(PAGES)) == bench.rows).all()
    assert bench.stranger.read(5) == bench.rows[1].tobytes()
    bench.host.check()


def test_swapoff_brings_all_back(bench: Bench) -> None:
    swap_out(bench.host, bench.all)
    swap_off(bench.host)
    assert figures(bench)[:4] == (0, 0, 0, 0)
    assert swap_out(bench.host, bench.all) == 0
    bench.check()
    swap_on(bench.host, "disk")
    with pytest.raises(HostError, match="there is swap already"):
        swap_on(bench.host, "zram")


def test_a_full_device_leaves_pages_in_memory() -> None:
    bench = Bench(SwapDevice("disk", size=5 * 4096))
    assert swap_out(bench.host, bench.all) == 5
    assert bench.host.frames_in_use() == PAGES + 1 - 5
    bench.check()
    bench.host.close()


def test_zram_that_finds_no_memory_leaves_pages_as_they_are() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (4, 4096)).astype(np.uint8)
    host = Host.create(8, frames=4, mms=1, swap=SwapDevice("zram"))
    memory = host.add(4, "a")
    memory.write_pages(np.arange(4), noise)
    assert swap_out(host, entries_of(memory)) == 0
    host.check()
    assert (memory.read_pages(np.arange(4)) == noise).all()
    host.check()
    host.close()


def test_the_pool_of_zswap_has_a_limit() -> None:
    bench = Bench(SwapDevice("zswap", pool=4096))
    swap_out(bench.host, bench.all)
    out = figures(bench)
    assert (out.packed + out.on_disk, out.pool_frames) == (7, out.packed)
    bench.check()
    bench.host.close()


def test_no_memory_for_what_is_to_come_back() -> None:
    host = Host.create(16, frames=4, mms=3, swap=SwapDevice("disk"))
    memory, other = host.add(4, "a"), host.add(4, "b")
    memory.write_pages(np.arange(4), contents()[:4])
    child = memory.fork("c")
    swap_out(host, entries_of(memory))
    other.write_pages(np.arange(4), contents()[:4])
    with pytest.raises(HostError, match="exhausted"):
        memory.read(0)
    with pytest.raises(HostError, match="swap stays on"):
        swap_off(host)
    host.check()
    other.exit()
    assert (child.read_pages(np.arange(4)) == contents()[:4]).all()
    host.close()


def test_small_pages_are_not_compressed() -> None:
    with pytest.raises(HostError, match="let the host swap to a disk"):
        Host.create(8, page_size=8, swap=SwapDevice("zram"))


def test_many_pages_fill_the_pool_evenly() -> None:
    """Objects of all sizes come and go; what is left takes little more memory than it has bytes."""
    random = np.random.default_rng(11)
    host = Host.create(600, mms=1, swap=SwapDevice("zram"))
    memory = host.add(500, "a")
    rows = random.integers(0, 256, (500, 4096)).astype(np.uint8)
    for page, part in enumerate(random.integers(40, 3500, 500).tolist()):
        rows[page, part:] = 1
    memory.write_pages(np.arange(500), rows)
    entries = entries_of(memory)
    for start in (0, 125, 250, 0, 375, 100):
        swap_out(host, entries[start : start + 200])
        memory.touch(random.choice(500, 150, replace=False))
        host.check()
    swap_out(host, entries)
    out = swap_figures(host)
    assert out.packed == 500
    assert out.pool_frames * 4096 <= 1.15 * out.packed_bytes
    host.check()
    assert (memory.read_pages(np.arange(500)) == rows).all()
    assert host.arrays.ctl[CTL_SWAP_FRAMES] == 0
    host.close()


def unnamed(bench: Bench) -> None:
    bench.host.arrays.swaps[1]["count"] += 1


def beyond(bench: Bench) -> None:
    bench.guest.entries[0] = (int(bench.guest.entries[0]) & 0xFFFF) | (77 << FRAME_SHIFT)


def nowhere(bench: Bench) -> None:
    bench.host.arrays.swaps[1]["place"] = 0


def unlisted(bench: Bench) -> None:
    bench.guest.touch(np.array([0]))
    bench.host.arrays.ctl[CTL_SWAP_HEAD] = 0


def listed(bench: Bench) -> None:
    bench.guest.touch(np.array([0]))
    head = int(bench.host.arrays.ctl[CTL_SWAP_HEAD]) & 0xFFFFFFFF
    bench.host.arrays.swaps[head]["link"] = head


def taken(bench: Bench) -> None:
    bench.host.arrays.kept[int(bench.host.arrays.swaps[1]["at0"])] ^= 1 << 31


def twice(bench: Bench) -> None:
    one, other = bench.host.arrays.swaps[1], bench.host.arrays.swaps[2]
    other["at0"], other["cells0"] = one["at0"], one["cells0"]


def counted(bench: Bench) -> None:
    bench.host.arrays.ctl[CTL_SWAP_FRAMES] += 1


def misled(bench: Bench) -> None:
    bench.guest.touch(np.array([0]))
    bench.host.arrays.kept[pfn_of(bench.guest, 0)] = 2 << 32


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (unnamed, "swap record 1 counts 2, 1 entries name it"),
        (beyond, "an entry names a swap record that does not exist"),
        (nowhere, "a swapped page's content is nowhere"),
        (unlisted, "the free list of swap has another length"),
        (listed, "the free list of swap leads to record"),
        (taken, "cells of the swap pool are taken that no page has"),
        (twice, "two compressed pages have one cell"),
        (counted, "the swap pool has another number of frames"),
        (misled, "a frame is not in the swap cache that it names"),
    ],
)
def test_check_finds(damage: Callable[[Bench], None], complaint: str) -> None:
    bench = Bench(SwapDevice("zram"))
    swap_out(bench.host, bench.all)
    damage(bench)
    with pytest.raises(InvariantError, match=complaint):
        bench.host.check()
    bench.host.close()


def test_without_a_device_nothing_goes(disk: Bench) -> None:
    disk.host.arrays.ctl[CTL_SWAP] = 0
    assert swap_out(disk.host, disk.all) == 0
    disk.check()
