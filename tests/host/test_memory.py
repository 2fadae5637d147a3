"""Host memory from outside: sizes, refusals, exhaustion, memory given back, several processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from vmdedup.errors import EnvironmentLacksError, HostError
from vmdedup.host import layout, memory
from vmdedup.host.layout import BLOCK, MAPPED, MAX_NODES, MERGEABLE, MM_LIVE
from vmdedup.host.memory import Host
from vmdedup.host.pool import fill_pool
from vmdedup.host.segment import Segment
from vmdedup.host.workers import fork_server, without_main

MIB = 1 << 20


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host.create(pages=4096, frames=1024, mms=4)
    yield host
    host.check()
    host.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"pages": 0},
        {"mms": 0},
        {"mms": memory.MAX_MMS},
        {"nodes": 0},
        {"nodes": MAX_NODES + 1},
        {"page_size": 12},
    ],
)
def test_an_impossible_host_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(HostError, match="cannot be"):
        Host.create(**{"pages": 10, **wrong}, swap=False)


def test_too_much_memory_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    for pages in (1 << 44, 1 << 60):  # more than a file may have, more than a file's length can say
        with pytest.raises(HostError, match="ask for fewer or smaller guests") as refused:
            Host.create(pages=pages)
        assert "\n" not in str(refused.value)
    monkeypatch.setattr("vmdedup.host.segment.mmap.mmap", _no_memory)
    with pytest.raises(HostError, match="cannot map 1 MiB"):
        Segment(MIB)
    assert len(os.listdir("/proc/self/fd")) == descriptors


def _no_memory(descriptor: int, size: int) -> None:
    raise OSError(12, "Cannot allocate memory")


def test_a_guest_that_does_not_fit_is_refused(host: Host) -> None:
    with pytest.raises(HostError, match="no page table entries left for guest 'huge'"):
        host.add(10_000, "huge")
    for n in range(4):
        host.add(64, f"g{n}")
    with pytest.raises(HostError, match="no address spaces left for guest 'fifth'"):
        host.add(64, "fifth")


def test_untouched_memory_costs_nothing() -> None:
    host = Host.create(pages=1 << 20)
    guest = host.add(1 << 20)
    before = host.segment.resident()
    guest.touch(np.arange(0, 1 << 20, 4096))
    assert guest.read(77) == bytes(4096)
    assert host.frames_in_use() == 0
    assert host.segment.resident() - before < MIB
    host.close()


def test_freed_memory_is_given_back_and_the_rest_stays(host: Host) -> None:
    keeper, goer = host.add(512, "keeper"), host.add(512, "goer")
    data = np.random.default_rng(1).integers(0, 256, (512, 4096), np.uint8)
    for first in range(0, 512, 64):  # in turns, so that free frames lie between used ones
        numbers = np.arange(first, first + 64)
        keeper.write_pages(numbers, data[first : first + 64])
        goer.write_pages(numbers, data[first : first + 64])
    assert host.trim() == 0
    full = host.segment.resident()
    goer.exit()
    assert host.segment.resident() == full
    assert host.trim() == 2 * MIB
    assert full - 2 * MIB - 65536 < host.segment.resident() <= full - 2 * MIB
    assert (keeper.read_pages(np.arange(512)) == data).all()
    host.check()
    heir = host.add(512, "heir")
    heir.write(0, b"first")
    heir.write(511, b"last", 4000)
    assert heir.read(0) == b"first" + bytes(4091)
    assert heir.read(511) == bytes(4000) + b"last" + bytes(92)
    assert host.trim() == 2 * MIB - 2 * 4096


def test_exhausted_memory_is_one_line_and_leaves_a_sound_host(host: Host) -> None:
    one, two = host.add(1000, "one"), host.add(1000, "two")
    one.write_pages(np.arange(1000), np.full((1000, 4096), 1, np.uint8))
    with pytest.raises(HostError, match=r"exhausted \(1024 frames in use\); give the host more memory") as refused:
        two.write_pages(np.arange(1000), np.full((1000, 4096), 2, np.uint8))
    assert "\n" not in str(refused.value)
    host.check()
    assert host.frames_in_use() == 1024
    assert two.read(23) == b"\2" * 4096  # what was stored before stays
    assert two.read(24) == bytes(4096)
    child = two.fork("child")  # forking costs no frame, writing does
    with pytest.raises(HostError, match="exhausted"):
        child.write(0, b"x")
    one.discard(np.arange(500))
    child.write(0, b"x")
    assert (child.read(0)[:2], two.read(0)[:2]) == (b"x\2", b"\2\2")


@pytest.mark.parametrize("page_size", [8, 16, 4096, 8192])
def test_pages_of_other_sizes(page_size: int) -> None:
    host = Host.create(pages=300, page_size=page_size)
    guest = host.add(300, "fingerprints")
    data = np.random.default_rng(2).integers(0, 256, (300, page_size), np.uint8)
    guest.write_pages(np.arange(300), data)
    guest.write(5, b"\xff", page_size - 1)
    data[5, -1] = 255
    child = guest.fork()
    child.write(6, b"\1\2")
    assert (guest.read_pages(np.arange(300)) == data).all()
    assert child.read(6)[:2] == b"\1\2"
    assert guest.digest() != child.digest()
    with pytest.raises(HostError, match=f"a store of 2 bytes does not fit into a page of {page_size}"):
        guest.write(0, b"ab", page_size - 1)
    host.check()
    guest.exit()
    if page_size == 8:
        assert host.trim() == 0  # several frames to a page of the system
    host.check()
    host.close()


def test_words_can_be_written_as_words(host: Host) -> None:
    guest = host.add(4)
    words = np.arange(2 * 512, dtype=np.int64).reshape(2, 512)
    guest.write_pages(np.array([2, 0]), words.view(np.uint8))
    assert guest.read(0) == words[1].tobytes()
    assert guest.read(2) == words[0].tobytes()


def test_names_are_cut_to_what_a_record_holds(host: Host) -> None:
    assert host.add(1, "x" * 100).name == "x" * 48


def test_a_host_is_nothing_but_a_descriptor() -> None:
    """A memfd: no name in the file system, and gone with the last descriptor."""
    shared = Path("/dev/shm")
    before = sorted(shared.iterdir()) if shared.is_dir() else []
    host = Host.create(pages=16)
    assert (sorted(shared.iterdir()) if shared.is_dir() else []) == before
    host.close()
    host.close()


def work(pipe: Connection, host: Host, mm: int) -> None:
    """Another process: store, fork, and answer with what the first process has stored."""
    mine = host.memory(mm)
    mine.write(0, b"from the child")
    forked = mine.fork("grandchild")
    forked.write(1, b"a copy")
    pipe.send((forked.mm, next(host.live()).read(0)[:15], mine.read(1)))
    pipe.recv()
    pipe.send(mine.read(2)[:5])


@pytest.mark.compiled
def test_two_processes_see_each_others_bytes(host: Host) -> None:
    parent, child = host.add(8, "parent"), host.add(8, "child")
    parent.write(0, b"from the parent")
    context = fork_server()
    pipe, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, host, child.mm), daemon=True)
    with without_main():
        process.start()
    theirs.close()
    mm, seen, own = pipe.recv()
    assert seen == b"from the parent"
    assert own == bytes(4096)
    grandchild = host.memory(mm)
    assert grandchild.name == "grandchild"
    assert child.read(0)[:14] == grandchild.read(0)[:14] == b"from the child"
    assert grandchild.read(1)[:6] == b"a copy"
    host.check()
    assert host.frames_in_use() == 3
    child.write(2, b"later")  # it is waiting, so this address space is ours for the moment
    pipe.send("go on")
    assert pipe.recv() == b"later"
    process.join(30)
    assert process.exitcode == 0


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize(("pages", "frames", "nodes"), [(1, None, 1), (1000, 70, 1), (5000, None, 4), (1 << 18, 70, 1)])
def test_no_part_of_host_memory_reaches_into_another(pages: int, frames: int | None, nodes: int, swap: bool) -> None:
    host = Host.create(pages, frames=frames, mms=3, nodes=nodes, swap=swap)
    try:
        parts = {name: part for name, part in host.arrays._asdict().items() if name != "bytes" and part.nbytes}
        assert ("swap" in parts) == swap
        begins = {name: part.__array_interface__["data"][0] for name, part in parts.items()}
        order = sorted(parts, key=lambda name: begins[name])
        assert all(begins[name] % 4096 == 0 for name in order)
        assert order[0] == "ctl"
        assert len(parts["owners"]) * BLOCK >= len(parts["pte"])
        for one, other in pairwise(order):
            assert begins[one] + parts[one].nbytes <= begins[other], f"{one} reaches into {other}"
        last = order[-1]
        assert begins[last] + parts[last].nbytes <= begins["ctl"] + host.segment.size
        assert host.arrays.bytes.__array_interface__["data"][0] == begins["words"]
    finally:
        host.close()


def test_no_word_of_the_control_block_is_another_s() -> None:
    by_node = {"CTL_HEADS", "CTL_FRESH", "CTL_FREE"}
    firsts = {name: word for name, word in vars(layout).items() if name.startswith("CTL_") and name != "CTL_WORDS"}
    words = [first + node for name, first in firsts.items() for node in range(MAX_NODES if name in by_node else 1)]
    assert len(words) == len(set(words))
    assert 0 <= min(words) <= max(words) < layout.CTL_WORDS


def test_what_is_said_of_areas_is_told_apart() -> None:
    assert len({layout.ANONYMOUS, layout.STACK, layout.GRAPHICS, layout.FILES}) == 4
    assert len({layout.UNKNOWN, layout.FOREGROUND, layout.BACKGROUND}) == 3


def test_guests_can_have_as_many_frames_as_were_asked_for() -> None:
    host = Host.create(pages=8, frames=5)
    assert host.capacity == 5
    memory = host.add(8)
    memory.write_pages(np.arange(4), np.ones((4, 4096), np.uint8))
    memory.write(4, b"the last")
    with pytest.raises(HostError, match="exhausted"):
        memory.write(5, b"one more")
    host.close()


def test_a_new_address_space_has_no_areas_whoever_had_its_record() -> None:
    host = Host.create(64, mms=1)
    try:
        old = host.add(4, "old")
        old.declare(3, 1, 2, layout.STACK, owner=7, state=layout.BACKGROUND)
        assert host.arrays.areas[old.mm, 3]["turns"] == 1
        old.exit()
        host.release(old.mm)
        assert host.add(4, "new").mm == old.mm
        assert not host.arrays.areas[old.mm].tobytes().strip(b"\0")
    finally:
        host.close()


def test_an_address_space_that_is_claimed_is_mapped_throughout(host: Host) -> None:
    assert (host.memory(host.claim(5)).entries == (MAPPED | MERGEABLE)).all()
    assert (host.memory(host.claim(5, bits=0)).entries == 0).all()


def test_what_lies_between_two_free_frames_stays(host: Host) -> None:
    guest = host.add(64, "guest")
    data = np.random.default_rng(2).integers(0, 256, (64, 4096), np.uint8)
    guest.write_pages(np.arange(64), data)
    guest.discard(np.arange(0, 64, 2))
    assert host.trim() == 32 * 4096
    kept = np.arange(1, 64, 2)
    assert (guest.read_pages(kept) == data[kept]).all()


def test_memory_that_cannot_be_given_back_says_why() -> None:
    segment = Segment(4096)
    segment.close()
    with pytest.raises(HostError, match="to the system: Bad file descriptor"):
        segment.punch(0, 4096)


def test_without_linux_there_is_no_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(EnvironmentLacksError, match="Linux only"):
        Segment(4096)


def test_a_new_address_space_has_counted_nothing_whoever_had_its_record() -> None:
    with_text = {"name", "state", "first", "pages", "capacity", "born", "kin"}
    host = Host.create(64, mms=1)
    try:
        old = host.add(4, "old", domain=3)
        old.exit()
        record = host.arrays.mms[old.mm]
        for field in set(record.dtype.names) - with_text:
            record[field] = 9
        host.release(old.mm)
        new = host.add(5, "new")
        assert new.mm == old.mm
        found = {field: record[field] for field in record.dtype.names}
        assert (found.pop("name"), found.pop("state"), found.pop("pages")) == (b"new", MM_LIVE, 5)
        assert (found.pop("first") % BLOCK, found.pop("capacity")) == (0, BLOCK)
        assert (found.pop("born"), found.pop("kin")) == (2, 2)
        assert {field for field, value in found.items() if value} == set()
    finally:
        host.close()


@pytest.mark.parametrize(("nodes", "pool", "most"), [(1, 0, 5), (2, 0, 2), (1, 3, 2)])
def test_the_most_that_was_in_use_is_known_unless_free_memory_lies_in_several_places(
    nodes: int, pool: int, most: int
) -> None:
    host = Host.create(32, mms=2, nodes=nodes)
    try:
        assert host.frames_at_most() == 0
        fill_pool(host.arrays, pool)
        guest = host.add(8)
        for page in range(5):
            guest.write(page, b"x")
        guest.discard(np.arange(3))
        assert (host.frames_in_use(), host.frames_at_most()) == (2, most)
    finally:
        host.close()
