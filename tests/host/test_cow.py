"""Address spaces that store, load, discard, unmap, fork and exit, against a dictionary of bytes.

The model shares one object where the host must share one frame, so it also says how many frames are in use, and when
memory is exhausted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from vmdedup.errors import HostError
from vmdedup.host.fault import unshare
from vmdedup.host.layout import FRAME_MASK, FRAME_SHIFT, MAPPED, MERGEABLE, NO_NODE, NODE_SHIFT, PIN, PRESENT
from vmdedup.host.memory import Host
from vmdedup.host.space import Memory

PAGE_SIZE = 64
PAGES = 6
MMS = 5


class Frame:
    """Bytes that one page has, or several share after a fork."""

    def __init__(self, data: bytes) -> None:
        self.data = data


class Space:
    """What one address space ought to hold. pages: a frame, or None for a page that reads as zeros."""

    def __init__(self, memory: Memory, pages: dict[int, Frame | None]) -> None:
        self.memory = memory
        self.pages = pages
        self.mergeable = set(pages)
        self.cow_fork = self.faults = self.stores = 0


class CopyOnWrite(RuleBasedStateMachine):
    """All operations of a guest, on up to MMS address spaces."""

    def __init__(self) -> None:
        super().__init__()
        self.spaces: list[Space] = []
        self.dead: list[int] = []

    @initialize(frames=st.sampled_from([5, 12, 100]), nodes=st.integers(1, 3))
    def create(self, frames: int, nodes: int) -> None:
        """A host with enough memory, or with too little."""
        self.host = Host.create(pages=PAGES * MMS, frames=frames, mms=MMS, page_size=PAGE_SIZE, nodes=nodes)
        self.frames = frames
        self.nodes = nodes

    def refs(self, frame: Frame) -> int:
        """How many pages share a frame."""
        return sum(frame is other for space in self.spaces for other in space.pages.values())

    def in_use(self) -> int:
        """Frames in use."""
        return len({id(frame) for space in self.spaces for frame in space.pages.values() if frame is not None})

    def store(self, space: Space, page: int, data: bytes, offset: int) -> bool:
        """Store into the model; False if the page is not mapped, or no frame is left for it."""
        if page not in space.pages:
            return False
        frame = space.pages[page]
        if frame is None or self.refs(frame) > 1:
            if self.in_use() == self.frames:
                return False
            space.faults += frame is None
            space.cow_fork += frame is not None
            frame = space.pages[page] = Frame(frame.data if frame else bytes(PAGE_SIZE))
        frame.data = frame.data[:offset] + data + frame.data[offset + len(data) :]
        return True

    def choose(self, choice: int) -> Space:
        """One of the living."""
        return self.spaces[choice % len(self.spaces)]

    @precondition(lambda self: hasattr(self, "host"))
    @rule(pages=st.integers(1, PAGES), node=st.integers(0, 2))
    def add(self, pages: int, node: int) -> None:
        """A new guest, if there is a record for it."""
        if len(self.spaces) + len(self.dead) == MMS:
            with pytest.raises(HostError, match="left for guest 'more'"):
                self.host.add(pages, "more")
            return
        memory = self.host.add(pages, f"guest {pages}", node % self.nodes)
        assert (memory.pages, memory.name, memory.page_size) == (pages, f"guest {pages}", PAGE_SIZE)
        self.spaces.append(Space(memory, dict.fromkeys(range(pages))))

    @precondition(lambda self: self.spaces)
    @rule(choice=st.integers(0, 99), page=st.integers(0, PAGES), byte=st.integers(0, 255), data=st.data())
    def write(self, choice: int, page: int, byte: int, data: st.DataObject) -> None:
        """A few bytes somewhere in a page; also pages that do not exist."""
        space = self.choose(choice)
        offset = data.draw(st.integers(0, PAGE_SIZE - 1))
        run = bytes([byte]) * data.draw(st.integers(1, PAGE_SIZE - offset))
        if page >= space.memory.pages:
            with pytest.raises(HostError, match=f"has pages 0 to {space.memory.pages - 1}, not {page} to {page}"):
                space.memory.write(page, run, offset)
        elif self.store(space, page, run, offset):
            space.memory.write(page, run, offset)
            space.stores += 1
        else:
            with pytest.raises(HostError, match="exhausted" if page in space.pages else "is not mapped"):
                space.memory.write(page, run, offset)

    @precondition(lambda self: self.spaces)
    @rule(choice=st.integers(0, 99), seed=st.integers(0, 3), pages=st.lists(st.integers(0, PAGES - 1), max_size=PAGES))
    def write_pages(self, choice: int, seed: int, pages: list[int]) -> None:
        """Whole pages, some twice; those before the one that fails are stored."""
        space = self.choose(choice)
        pages = [page for page in pages if page < space.memory.pages]
        data = np.random.default_rng(seed).integers(0, 256, (len(pages), PAGE_SIZE), np.uint8)
        done = 0
        while done < len(pages) and self.store(space, pages[done], data[done].tobytes(), 0):
            done += 1
        if done == len(pages):
            space.memory.write_pages(np.array(pages, np.int64), data)
            space.stores += len(pages)
        else:
            with pytest.raises(HostError):
                space.memory.write_pages(np.array(pages, np.int64), data)

    @precondition(lambda self: self.spaces)
    @rule(choice=st.integers(0, 99), pages=st.lists(st.integers(0, PAGES - 1), max_size=3), touch=st.booleans())
    def read(self, choice: int, pages: list[int], touch: bool) -> None:
        """Untouched pages are zeros, and cost nothing."""
        space = self.choose(choice)
        pages = [page for page in pages if page < space.memory.pages]
        if all(page in space.pages for page in pages):
            if touch:
                space.memory.touch(np.array(pages, np.int64))
            else:
                expected = b"".join(contents(space, page) for page in pages)
                assert space.memory.read_pages(np.array(pages, np.int64)).tobytes() == expected
        else:
            with pytest.raises(HostError, match="is not mapped"):
                (space.memory.touch if touch else space.memory.read_pages)(np.array(pages, np.int64))

    @precondition(lambda self: self.spaces)
    @rule(choice=st.integers(0, 99), pages=st.lists(st.integers(0, PAGES - 1), max_size=4))
    def discard(self, choice: int, pages: list[int]) -> None:
        """The pages are zeros again."""
        space = self.choose(choice)
        pages = [page for page in pages if page < space.memory.pages]
        space.memory.discard(np.array(pages, np.int64))
        space.pages |= dict.fromkeys(page for page in pages if page in space.pages)

    @precondition(lambda self: self.spaces)
    @rule(choice=st.integers(0, 99), ends=st.tuples(st.integers(0, PAGES - 1), st.integers(0, PAGES - 1)))
    def unmap(self, choice: int, ends: tuple[int, int]) -> None:
        """The pages are gone."""
        space = self.choose(choice)
        lo, hi = sorted(min(end, space.memory.pages - 1) for end in ends)
        space.memory.unmap(lo, hi)
        for page in range(lo, hi + 1):
            space.pages.pop(page, None)
            space.mergeable.discard(page)

    @precondition(lambda self: self.spaces)
    @rule(
        choice=st.integers(0, 99),
        ends=st.tuples(st.integers(0, PAGES - 1), st.integers(0, PAGES - 1)),
        mergeable=st.booleans(),
    )
    def advise(self, choice: int, ends: tuple[int, int], mergeable: bool) -> None:
        """Advice changes flags only, as long as nothing is merged."""
        space = self.choose(choice)
        lo, hi = sorted(min(end, space.memory.pages - 1) for end in ends)
        (space.memory.mergeable if mergeable else space.memory.unmergeable)(lo, hi)
        pages = {page for page in range(lo, hi + 1) if page in space.pages}
        space.mergeable = space.mergeable | pages if mergeable else space.mergeable - pages

    @precondition(lambda self: self.spaces)
    @rule(choice=st.integers(0, 99))
    def fork(self, choice: int) -> None:
        """The child shares every frame."""
        if len(self.spaces) + len(self.dead) == MMS:
            return
        space = self.choose(choice)
        child = Space(space.memory.fork("child"), dict(space.pages))
        child.mergeable = set(space.mergeable)
        self.spaces.append(child)

    @precondition(lambda self: self.spaces)
    @rule(choice=st.integers(0, 99))
    def exit(self, choice: int) -> None:
        """Everything is given back; the record waits to be released."""
        space = self.spaces.pop(choice % len(self.spaces))
        space.memory.exit()
        self.dead.append(space.memory.mm)

    @precondition(lambda self: self.dead)
    @rule()
    def release(self) -> None:
        """The record may be used again."""
        self.host.release(self.dead.pop(0))

    @precondition(lambda self: self.spaces)
    @rule(choice=st.integers(0, 99))
    def digest(self, choice: int) -> None:
        """SHA-256 of what is mapped."""
        space = self.choose(choice)
        expected = hashlib.sha256(b"".join(contents(space, page) for page in sorted(space.pages)))
        assert space.memory.digest() == expected.hexdigest()

    @invariant()
    def same(self) -> None:
        """The host is consistent, and every page of everybody is the model's."""
        if not hasattr(self, "host"):
            return
        self.host.check()
        assert self.host.frames_in_use() == self.in_use()
        assert [m.mm for m in self.host.live()] == sorted(space.memory.mm for space in self.spaces)
        for space in self.spaces:
            mapped = np.flatnonzero(space.memory.entries & MAPPED).tolist()
            assert mapped == sorted(space.pages)
            assert set(np.flatnonzero(space.memory.entries & MERGEABLE).tolist()) == space.mergeable
            assert list(peek(self.host, space.memory)) == [contents(space, page) for page in mapped]
            figures = [space.memory.counter(name) for name in ("cow_fork", "faults", "stores", "cow_ksm", "zero_pages")]
            assert figures == [space.cow_fork, space.faults, space.stores, 0, 0]

    def teardown(self) -> None:
        """Give the memory back."""
        if hasattr(self, "host"):
            self.host.close()


def contents(space: Space, page: int) -> bytes:
    """What a page ought to hold."""
    frame = space.pages[page]
    return frame.data if frame else bytes(PAGE_SIZE)


def peek(host: Host, memory: Memory) -> Iterator[bytes]:
    """What the mapped pages hold, without touching them."""
    for entry in memory.entries[(memory.entries & MAPPED) != 0].tolist():
        pfn = (entry >> FRAME_SHIFT) & FRAME_MASK if entry & PRESENT else 0
        yield host.arrays.bytes[pfn].tobytes()


@pytest.mark.compiled  # ten million looks
def test_a_pin_that_never_ends_is_given_up() -> None:
    """Its owner was killed: a page is not unshared under it, but once it is gone."""
    host = Host.create(8, mms=2)
    try:
        memory, h = host.add(2), host.arrays
        memory.write(0, b"x")
        entry = int(h.mms[memory.mm]["first"])
        shared = (int(h.pte[entry]) >> FRAME_SHIFT) & FRAME_MASK
        h.frames[shared] |= NO_NODE << NODE_SHIFT
        h.pte[entry] |= PIN
        assert unshare(h, memory.mm, entry) == 1
        assert (int(h.pte[entry]) >> FRAME_SHIFT) & FRAME_MASK == shared
        h.pte[entry] &= ~PIN
        assert unshare(h, memory.mm, entry) == 0
        assert (int(h.pte[entry]) >> FRAME_SHIFT) & FRAME_MASK != shared
        assert (memory.counter("cow_ksm"), memory.read(0)[:2]) == (1, b"x\0")
    finally:
        host.close()


TestCopyOnWrite = CopyOnWrite.TestCase
TestCopyOnWrite.settings = settings(max_examples=60, stateful_step_count=50)
