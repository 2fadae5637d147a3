"""Pages kept in another form: every kind rebuilt on access, counted, checked, recovered."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from vmdedup.errors import HostError, InvariantError
from vmdedup.host.absent import bring_back, make_absent, make_guarded
from vmdedup.host.frames import alloc_frame, get_frame, put_frame, set_stable_node
from vmdedup.host.hints import take_hints
from vmdedup.host.layout import (
    ACCESSED,
    COMPRESSED,
    CTL_HINTS,
    FILLED,
    FRAME_MASK,
    FRAME_SHIFT,
    GUARDED,
    HINT_RING,
    NO_NODE,
    PATCHED,
    SWAPPED,
)
from vmdedup.host.memory import Host
from vmdedup.host.rebuild import write_content
from vmdedup.host.share import write_protect
from vmdedup.host.space import Memory
from vmdedup.host.swap import store_page
from vmdedup.jit.page import hash_page
from vmdedup.subpage.compression import CODECS, compress
from vmdedup.subpage.delta import DELTAS, patch

PAGES = 8
KINDS = (PATCHED, COMPRESSED, SWAPPED, FILLED, GUARDED)


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host.create(64, frames=40, mms=4, swap=True)
    yield made
    made.close()


def contents() -> np.ndarray:
    """Pages like text; the last is one word all over; page 1 is nearly page 0."""
    rows = np.random.default_rng(5).integers(97, 105, (PAGES, 4096)).astype(np.uint8)
    rows[1] = rows[0]
    rows[1, 100:110] = 7
    rows[-1] = 170
    return rows


def frame_of(memory: Memory, page: int) -> int:
    return (int(memory.entries[page]) >> FRAME_SHIFT) & FRAME_MASK


def keep_as(host: Host, memory: Memory, page: int, kind: int) -> bool:
    """Do to a page what a scanner does. The packed bytes are put into a frame of their own."""
    h = host.arrays
    entry, pfn = int(h.mms[memory.mm]["first"]) + page, frame_of(memory, page)
    if kind == GUARDED:
        return guard(host, entry, copy_of(host, pfn))
    assert get_frame(h, pfn)
    protected = write_protect(h, entry, pfn)
    assert protected
    slot, content, form = h.slots[entry], h.bytes[pfn].tobytes(), kind
    slot["hash"] = hash_page(h.words, pfn)
    if kind == FILLED:
        slot["fill"] = h.words[pfn, 0]
    elif kind == SWAPPED:
        form = store_page(h, pfn)
    else:
        reference = frame_of(memory, 0)
        packed = compress(content, CODECS[1])
        if kind == PATCHED:
            packed = patch(h.bytes[reference].tobytes(), content, DELTAS[1])
        store = int(alloc_frame(h, 0))
        h.bytes[store, 8 : 8 + len(packed)] = np.frombuffer(packed, np.uint8)
        slot["frame"], slot["offset"], slot["length"], slot["codec"] = store, 8, len(packed), 1
        if kind == PATCHED:
            slot["reference"] = reference
            assert write_protect(h, entry - page, reference)
            assert get_frame(h, reference)
    done = bool(make_absent(h, entry, protected, pfn, form))
    put_frame(h, pfn)
    return done


def copy_of(host: Host, pfn: int) -> int:
    """A shared frame with the content of another."""
    h = host.arrays
    frame = int(alloc_frame(h, 0))
    h.words[frame] = h.words[pfn]
    set_stable_node(h, frame, NO_NODE)
    return frame


def guard(host: Host, entry: int, frame: int) -> bool:
    """Guard a page, its content being in a shared frame that is counted for it."""
    h = host.arrays
    h.pte[entry] &= ~ACCESSED
    return bool(make_guarded(h, entry, int(h.pte[entry]), frame))


def prepared(host: Host, kind: int) -> tuple[Memory, int, np.ndarray]:
    """A guest with one page kept in another form: its memory, that page, what its pages hold."""
    memory, rows = host.add(PAGES, "a"), contents()
    memory.write_pages(np.arange(PAGES), rows)
    page = {PATCHED: 1, FILLED: PAGES - 1}.get(kind, 3)
    assert keep_as(host, memory, page, kind)
    host.check()
    return memory, page, rows


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_reads_as_before(host: Host, kind: int) -> None:
    memory, _, rows = prepared(host, kind)
    assert host.kinds()[memory.mm, kind] == 1
    assert int(host.allocated()[0][memory.mm]) == PAGES
    assert host.distinct() == PAGES
    np.testing.assert_array_equal(memory.read_pages(np.arange(PAGES)), rows)
    assert not host.kinds().any()
    fields = {PATCHED: "unpatched", SWAPPED: "swapped_in", GUARDED: "cow_ksm"}
    assert memory.counter(fields.get(kind, "uncompressed")) == 1
    host.check()
    assert host.frames_in_use() == PAGES


ACCESSES: list[tuple[str, Callable[[Memory, int], object]]] = [
    ("poke", lambda memory, page: memory.write(page, b"\1", 5)),
    ("store", lambda memory, page: memory.write(page, bytes([9]) * 4096)),
    ("touch", lambda memory, page: memory.touch(np.array([page]))),
    ("discard", lambda memory, page: memory.discard(np.array([page]))),
    ("unmap", lambda memory, page: memory.unmap(page, page)),
    ("exit", lambda memory, page: memory.exit()),
    ("fork", lambda memory, page: memory.fork("child")),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "access"), ACCESSES, ids=[name for name, _ in ACCESSES])
def test_any_access_leaves_the_host_consistent(
    host: Host, kind: int, name: str, access: Callable[[Memory, int], object]
) -> None:
    memory, page, rows = prepared(host, kind)
    access(memory, page)
    host.check()
    expected = rows[page].copy()
    if name == "poke":
        expected[5] = 1
    elif name == "store":
        expected[:] = 9
    elif name == "discard":
        expected[:] = 0
    if name not in ("unmap", "exit"):
        assert memory.read(page) == expected.tobytes()
    if name == "exit":
        assert host.frames_in_use() == 0
    host.check()


@pytest.mark.parametrize("kind", KINDS)
def test_a_dead_guest_gives_back_what_its_absent_pages_used(host: Host, kind: int) -> None:
    memory, _, _ = prepared(host, kind)
    other = host.add(2, "b")
    other.write(0, b"x")
    host.bury(memory.mm)
    host.recover()
    host.check()
    assert host.frames_in_use() == 1


@pytest.mark.parametrize("kind", KINDS)
def test_recovery_keeps_what_the_living_use(host: Host, kind: int) -> None:
    memory, page, rows = prepared(host, kind)
    used = host.frames_in_use()
    host.recover()
    host.check()
    assert host.frames_in_use() == used
    assert memory.read(page) == rows[page].tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_scanner_can_bring_a_page_back(host: Host, kind: int) -> None:
    memory, page, rows = prepared(host, kind)
    h = host.arrays
    entry = int(h.mms[memory.mm]["first"]) + page
    fresh = int(alloc_frame(h, 0))
    write_content(h, entry, kind, h.words[fresh])
    assert bring_back(h, entry, int(h.pte[entry]), fresh)
    host.check()
    assert memory.read(page) == rows[page].tobytes()
    assert not any(memory.counter(field) for field in ("unpatched", "uncompressed", "swapped_in", "cow_ksm"))


def test_a_store_in_between_wins(host: Host) -> None:
    memory = host.add(PAGES, "a")
    memory.write(0, b"old")
    h, pfn = host.arrays, frame_of(memory, 0)
    entry = int(h.mms[memory.mm]["first"])
    assert get_frame(h, pfn)
    protected = write_protect(h, entry, pfn)
    memory.write(0, b"new")
    assert not make_absent(h, entry, protected, pfn, SWAPPED)
    put_frame(h, pfn)
    host.check()
    assert memory.read(0)[:3] == b"new"


@pytest.mark.parametrize("access", [lambda memory: memory.touch(np.array([0])), lambda memory: memory.write(0, b"new")])
def test_any_use_in_between_keeps_a_page_from_being_guarded(host: Host, access: Callable[[Memory], None]) -> None:
    memory = host.add(PAGES, "a")
    memory.write(0, b"old")
    h, entry = host.arrays, int(host.arrays.mms[memory.mm]["first"])
    h.pte[entry] &= ~ACCESSED
    old, frame = int(h.pte[entry]), copy_of(host, frame_of(memory, 0))
    access(memory)
    assert not make_guarded(h, entry, old, frame)
    put_frame(h, frame)
    host.check()
    assert host.frames_in_use() == 1


def two_guards(host: Host) -> tuple[Memory, Memory, int]:
    """Two guests whose first pages are guarded in one frame, and that frame."""
    one, other = host.add(PAGES, "a"), host.add(PAGES, "b")
    for memory in (one, other):
        memory.write(0, b"same")
        memory.write(1, memory.name.encode())
    h = host.arrays
    frame = copy_of(host, frame_of(one, 0))
    assert get_frame(h, frame)
    assert all(guard(host, int(h.mms[memory.mm]["first"]), frame) for memory in (one, other))
    host.check()
    return one, other, frame


def test_guarded_pages_share_a_frame_and_are_counted_like_others_that_do(host: Host) -> None:
    one, other, frame = two_guards(host)
    assert host.frames_in_use() == 3
    matrix, split = host.sharing()
    assert (int(matrix[one.mm, other.mm]), split.sum(axis=0).tolist()) == (1, [0, 0, 1])
    assert host.distinct() == 3
    assert one.read(0)[:4] == b"same"
    assert one.counter("cow_ksm") == 1
    assert frame_of(one, 0) != frame == frame_of(other, 0)
    host.check()
    assert host.frames_in_use() == 4


def test_a_fork_has_no_guarded_pages(host: Host) -> None:
    one, _, _ = two_guards(host)
    child = one.fork("child")
    assert not host.kinds()[[one.mm, child.mm]].any()
    child.write(0, b"else")
    assert one.read(0)[:4] == b"same"
    host.check()


def test_a_reference_page_can_be_stored_to(host: Host) -> None:
    memory, page, rows = prepared(host, PATCHED)
    memory.write(0, b"changed")
    host.check()
    assert memory.read(page) == rows[page].tobytes()
    host.check()
    assert host.frames_in_use() == PAGES


def test_exhausted_memory_is_said_and_nothing_is_lost() -> None:
    host = Host.create(64, frames=PAGES, mms=2, swap=True)
    memory = host.add(PAGES, "a")
    memory.write_pages(np.arange(PAGES), contents())
    assert keep_as(host, memory, 3, SWAPPED)
    other = host.add(2, "b")
    other.write(0, b"x")
    with pytest.raises(HostError, match="exhausted"):
        memory.read(3)
    host.check()
    other.exit()
    assert memory.read(3) == contents()[3].tobytes()
    host.check()
    host.close()


def test_check_finds_a_slot_that_names_nothing(host: Host) -> None:
    memory, page, _ = prepared(host, COMPRESSED)
    host.arrays.slots[int(host.arrays.mms[memory.mm]["first"]) + page]["frame"] = 10_000
    with pytest.raises(InvariantError, match="slot names a frame"):
        host.check()


def test_hints_are_left_when_wanted_and_the_newest_are_kept(host: Host) -> None:
    memory, h = host.add(PAGES, "a"), host.arrays
    found = np.zeros(HINT_RING + 1, np.int64)
    memory.hint(np.arange(3))
    assert take_hints(h, memory.mm, 0, found) == 0
    h.ctl[CTL_HINTS] = 1
    memory.hint(np.array([5, 2]))
    first = int(h.mms[memory.mm]["first"])
    assert take_hints(h, memory.mm, 0, found) == 2
    assert (found[:2].tolist(), int(found[HINT_RING])) == ([first + 5, first + 2], 2)
    memory.hint(np.zeros(HINT_RING, np.int64))
    assert take_hints(h, memory.mm, 2, found) == HINT_RING
    memory.hint(np.array([7]))
    assert take_hints(h, memory.mm, 2, found) == HINT_RING
    assert found[HINT_RING - 1] == first + 7
