"""Counting what a host holds, against counting it by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from vmdedup.host import census, frames
from vmdedup.host.census import count_distinct
from vmdedup.host.layout import FRAME_SHIFT, KIND_MASK, KIND_SHIFT, MAPPED, PRESENT, ZERO
from vmdedup.host.memory import Host
from vmdedup.host.pool import fill_pool
from vmdedup.host.space import Memory
from vmdedup.ksm.ksmd import Ksmd

PAGES = 8
GUESTS = 4
CONTENTS = 4
ABSENT, READ, PLACED = -1, -2, -3

# What each page of each guest maps: the content with that number, content 0 being zeros, or one of the above.
Plan = list[list[int]]
PLANS = st.lists(
    st.lists(st.integers(PLACED, CONTENTS - 1), min_size=PAGES, max_size=PAGES), min_size=1, max_size=GUESTS
)


class Plain:
    """Every page that maps a counted frame as (guest, frame), and what frames hold."""

    def __init__(self, plan: Plan, share: bool) -> None:
        self.host = Host.create(pages=PAGES * GUESTS, mms=GUESTS + 1, page_size=8)
        self.guests = [self.host.add(PAGES, f"g{n}") for n in range(len(plan))]
        self.mappings: list[tuple[int, int]] = []
        self.contents: dict[int, int] = {}
        for guest, row in zip(self.guests, plan, strict=True):
            for page, content in enumerate(row):
                self.map(guest, page, content, share)
        gone = self.host.add(PAGES, "gone")
        gone.write(0, b"gone")
        gone.exit()
        self.host.check()

    def map(self, guest: Memory, page: int, content: int, share: bool) -> None:
        """Give a page its content, on a frame of its own or on the one that has that content already."""
        if content == READ:
            guest.touch(np.array([page]))
        elif content == PLACED:
            guest.entries[page] = PRESENT | MAPPED | ZERO
            self.host.arrays.mms[guest.mm]["zero_pages"] += 1
        elif content >= 0:
            there = [pfn for pfn, c in self.contents.items() if c == content]
            if share and there:
                frames.get_frame(self.host.arrays, there[0])
                guest.entries[page] = PRESENT | MAPPED | (there[0] << FRAME_SHIFT)
            else:
                guest.write(page, bytes([content]) * 8)
                if share:
                    guest.entries[page] = PRESENT | MAPPED | (int(guest.entries[page]) >> FRAME_SHIFT << FRAME_SHIFT)
            pfn = int(guest.entries[page]) >> FRAME_SHIFT
            self.contents[pfn] = content
            self.mappings.append((guest.mm, pfn))

    def matrix(self) -> dict[tuple[int, int], int]:
        """Pages of one guest whose frame another maps; on the diagonal, further copies inside one."""
        cells: Counter[tuple[int, int]] = Counter()
        for mm, pfn in self.mappings:
            for other in {o for o, p in self.mappings if p == pfn and o != mm}:
                cells[mm, other] += 1
        for mm in {mm for mm, _ in self.mappings}:
            own = [pfn for m, pfn in self.mappings if m == mm]
            cells[mm, mm] += len(own) - len(set(own))
        return {cell: pages for cell, pages in cells.items() if pages}

    def split(self) -> dict[int, list[int]]:
        """Pages saved by guest: zero-filled, within the guest, between guests; the first guest keeps the page."""
        saved = {mm: [0, 0, 0] for mm in range(GUESTS + 2)}
        for pfn, content in self.contents.items():
            mapped = Counter(mm for mm, p in self.mappings if p == pfn)
            for mm, pages in mapped.items():
                between = mm != min(mapped)
                if content == 0:
                    saved[mm][0] += pages - 1 + between
                else:
                    saved[mm][1] += pages - 1
                    saved[mm][2] += between
        return saved


@settings(max_examples=80)
@given(PLANS, st.booleans())
def test_everything_is_counted(plan: Plan, share: bool) -> None:
    plain = Plain(plan, share)
    host = plain.host
    allocated, placed = host.allocated()
    for guest, row in zip(plain.guests, plan, strict=True):
        assert allocated[guest.mm] == sum(content >= 0 or content == PLACED for content in row)
        assert placed[guest.mm] == row.count(PLACED)
    assert (allocated.sum(), placed.sum()) == (sum(map(len, plan)) - unused(plan), sum(r.count(PLACED) for r in plan))
    assert host.frames_in_use() == len(plain.contents)
    assert host.distinct() == len(set(plain.contents.values()))
    matrix, split = host.sharing()
    assert {(int(a), int(b)): int(matrix[a, b]) for a, b in np.argwhere(matrix)} == plain.matrix()
    assert dict(enumerate(split.tolist())) == plain.split()
    assert totals(host) == split.sum(axis=0).tolist()
    assert split.sum() == len(plain.mappings) - len(plain.contents)
    host.close()


def unused(plan: Plan) -> int:
    """Pages with no content of their own."""
    return sum(content in (ABSENT, READ) for row in plan for content in row)


def totals(host: Host) -> list[int]:
    """The same split summed up, as it is counted without sorting."""
    maps, guests, last = (np.zeros(len(host.arrays.frames), np.int32) for _ in range(3))
    sums = np.zeros(3, np.int64)
    census.share_totals(host.arrays, maps, guests, last, sums)
    return list(sums.tolist())


def test_there_is_a_column_for_each_kind() -> None:
    host = Host.create(pages=8, mms=2)
    assert host.kinds().shape == (3, (KIND_MASK >> KIND_SHIFT) + 1)
    host.close()


def test_every_counted_frame_is_hashed_once() -> None:
    """Those of the zero page, and free ones, are not."""
    host = Host.create(16, mms=2)
    try:
        memory = host.add(8)
        contents = [bytes([number]) * host.page_size for number in (1, 1, 2, 0)]
        for page, content in enumerate(contents):
            memory.write(page, content)
        memory.touch(np.array([5]))
        memory.write(6, b"gone")
        memory.discard(np.array([6]))
        hashes = np.zeros(len(host.arrays.frames), np.int64)
        count = int(census.hash_frames(host.arrays, hashes))
        assert count == 4
        expected = [xxhash.xxh64_intdigest(content) for content in contents]
        assert sorted(hashes[:count].view(np.uint64).tolist()) == sorted(expected)
        assert not hashes[count:].any()
    finally:
        host.close()


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["store", "poke", "discard", "read", "fork", "scan", "zero", "count"]),
        st.integers(0, 15),
        st.integers(0, 3),
    ),
    max_size=40,
)


@given(OPERATIONS, st.booleans())
def test_contents_that_are_hashed_only_where_they_changed(operations: list[tuple[str, int, int]], pool: bool) -> None:
    """Whoever stored, copied, merged or took frames that somebody had before: what is counted is what is there."""
    host = Host.create(16 * 8, mms=6)
    guests, ksmd = [host.add(16), host.add(16)], Ksmd(host)
    ksmd.set("use_zero_pages", "1")
    for guest in guests:
        ksmd.enter(guest.mm)
    if pool:
        fill_pool(host.arrays, 4)
    known = np.zeros(len(host.arrays.frames), np.int64)
    host.arrays.news[:] = 1
    for what, page, value in operations:
        guest, pages = guests[page % len(guests)], np.array([page])
        if what == "store":
            guest.write_pages(pages, np.full((1, 4096), value, np.uint8))
        elif what == "poke":
            guest.write(page, bytes([value]), offset=value)
        elif what == "discard":
            guest.discard(pages)
        elif what == "read":
            guest.touch(pages)
        elif what == "fork" and len(guests) < 4:
            guests.append(guest.fork())
            ksmd.enter(guests[-1].mm)
        elif what == "scan":
            ksmd.scan(20)
        elif what == "zero":
            guest.write_pages(pages, np.zeros((1, 4096), np.uint8))
        else:
            assert sorted(host.contents(known).tolist()) == sorted(host.contents().tolist())
    assert sorted(host.contents(known).tolist()) == sorted(host.contents().tolist())
    host.close()


@given(st.lists(st.integers(-3, 3) | st.integers(-(1 << 63), (1 << 63) - 1), max_size=50))
def test_words_are_told_apart(words: list[int]) -> None:
    table = np.zeros(1 << (2 * len(words)).bit_length(), np.int64)
    assert count_distinct(np.array(words, np.int64), table) == len(set(words) - {0})
