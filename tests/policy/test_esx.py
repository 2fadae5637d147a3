"""ESX's page sharing: known answers, and each rule of the paper. Source: waldspurger2002, section 4."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from kit.making import maker_of
from vmdedup.errors import InvariantError
from vmdedup.host.layout import WRITABLE
from vmdedup.host.memory import Host
from vmdedup.host.space import Memory
from vmdedup.jit.page import hash_page
from vmdedup.policy.esx.choice import draw_pages
from vmdedup.policy.esx.frames import bucket_of, count_of, high_of, link, low_of, unlink
from vmdedup.policy.esx.layout import COUNT_LARGE, ZERO_FRAME, make_tables, table_bytes
from vmdedup.policy.esx.policy import Esx
from vmdedup.policy.esx.scan import scan_pages


class EsxHost:
    """A host with the policy, without rate limits, and guests whose pages hold one number each (0: zeros)."""

    def __init__(self, pages: int = 256, page_size: int = 4096, seed: int = 1, frames: int | None = None) -> None:
        self.host = Host.create(pages, frames=frames, mms=8, page_size=page_size)
        self.policy = Esx(self.host, seed)
        for knob in ("host_pages_per_second", "vm_pages_per_second"):
            self.policy.set(knob, "0")

    def guest(self, *contents: int) -> Memory:
        memory = self.host.add(len(contents), "g")
        self.fill(memory, range(len(contents)), contents)
        self.policy.enter(memory.mm)
        return memory

    def fill(self, memory: Memory, pages: range, contents: tuple[int, ...]) -> None:
        rows = np.zeros((len(contents), self.host.page_size // 8), np.int64)
        rows[:] = np.array(contents)[:, np.newaxis]
        memory.write_pages(np.array(pages), rows.view(np.uint8))

    def scan(self, memory: Memory, *pages: int) -> None:
        """Just these pages, in this order."""
        entries = np.array(pages) + int(self.host.arrays.mms[memory.mm]["first"])
        scan_pages(self.host.arrays, self.policy._tables, entries, len(pages))
        self.policy.check()

    def settle(self) -> None:
        """Until each page has been drawn, as good as certainly, twice."""
        self.policy.scan(40 * len(self.host.arrays.pte))
        self.policy.check()

    def get(self, name: str) -> int:
        return self.policy.counters()[name]

    def shared_frame(self) -> int:
        """The one shared frame beside the zero page's."""
        (frame,) = set(np.flatnonzero(self.policy._tables.frames["count"]).tolist()) - {ZERO_FRAME}
        return int(frame)

    def close(self) -> None:
        self.host.close()


Make = Callable[..., EsxHost]


make = maker_of(EsxHost)


def test_what_is_planted_is_found(make: Make) -> None:
    e = make()
    e.guest(*[0] * 20, *[7] * 10, *[8] * 2, *range(100, 130))
    e.guest(*[0] * 5, *[7] * 3, *[9] * 4, *range(200, 240), 100)
    e.settle()
    assert e.get("pages_shared") == 4  # 7, 8, 9 and 100
    assert e.get("pages_sharing") == 12 + 1 + 3 + 1
    assert e.get("ksm_zero_pages") == 25
    assert e.host.frames_in_use() == 4 + 29 + 40
    assert e.get("hint_frames") == 29 + 40
    assert e.get("collisions") == 0


def test_a_page_without_partner_is_not_marked(make: Make) -> None:
    """So that writing to it costs no fault."""
    e = make()
    one = e.guest(1, 2, 3)
    e.scan(one, 0, 1, 2, 0)
    assert (e.get("hints_made"), e.get("hint_frames")) == (3, 3)
    assert (one.entries & WRITABLE).all()


def test_a_page_that_nobody_stored_to_is_not_read_again(make: Make) -> None:
    """It counts as hashed all the same, as ESX has no bit that says so; a store of one byte is noticed."""
    e = make()
    one, two = e.guest(1, 2), e.guest(3)
    e.scan(one, 0, 1, 0, 1)
    assert (e.get("pages_hashed"), e.get("hashes_spared"), e.get("hint_frames")) == (4, 2, 2)
    e.fill(one, range(1), (3,))
    e.scan(one, 0)
    assert (e.get("pages_hashed"), e.get("hashes_spared")) == (5, 2)
    e.scan(two, 0)
    assert (e.get("pages_sharing"), e.get("collisions")) == (1, 0)


def test_what_was_known_of_a_guest_is_forgotten_with_it(make: Make) -> None:
    """The next guest may have the same places in the page table."""
    e = make(4)
    one = e.guest(1, 2)
    e.scan(one, 0, 1)
    assert e.policy._tables.digests.any()
    one.exit()
    e.policy.exit(one.mm)
    assert not e.policy._tables.digests.any()


def test_a_hinted_page_is_hashed_again_and_both_are_shared(make: Make) -> None:
    e = make()
    one, two = e.guest(5, 1), e.guest(2, 5)
    e.scan(one, 0)
    e.scan(two, 1)
    assert (e.get("pages_rehashed"), e.get("pages_hashed")) == (1, 3)
    assert (e.get("pages_shared"), e.get("pages_sharing"), e.get("hint_frames")) == (1, 1, 0)
    assert not one.entries[0] & WRITABLE
    assert not two.entries[1] & WRITABLE
    assert count_of(e.policy._tables, e.shared_frame()) == 2


def test_a_hint_whose_page_has_changed_is_dropped(make: Make) -> None:
    e = make()
    one, two = e.guest(5), e.guest(5)
    e.scan(one, 0)
    e.fill(one, range(1), (6,))
    e.scan(two, 0)
    assert (e.get("hints_stale"), e.get("pages_sharing"), e.get("hint_frames")) == (1, 0, 1)
    e.fill(one, range(1), (5,))
    e.scan(one, 0)
    assert e.get("pages_sharing") == 1


def test_a_hint_whose_guest_has_gone_is_dropped(make: Make) -> None:
    e = make()
    one, two = e.guest(5), e.guest(5)
    e.scan(one, 0)
    one.exit()
    e.policy.exit(one.mm)
    e.scan(two, 0)
    assert (e.get("hints_stale"), e.get("pages_rehashed"), e.get("hint_frames")) == (1, 0, 1)


def test_a_shared_frame_that_nobody_maps_is_dropped(make: Make) -> None:
    e = make()
    one, two = e.guest(5, 9), e.guest(5, 9)
    e.scan(one, 0)
    e.scan(two, 0)
    for memory in (one, two):
        e.fill(memory, range(1), (6,))  # one of them may have the frame again now, as its own
    e.fill(two, range(1, 2), (5,))
    e.scan(two, 1)
    assert (e.get("shared_frames_stale"), e.get("pages_sharing"), e.get("collisions")) == (1, 0, 0)


def test_equal_hashes_of_different_contents_make_a_page_ineligible(make: Make) -> None:
    e = make()
    one, two = e.guest(5, 6), e.guest(5)
    e.scan(one, 0)
    e.scan(two, 0)
    tables, frame = e.policy._tables, e.shared_frame()
    digest = int(hash_page(e.host.arrays.words, int(one.entries[1]) >> 16))
    unlink(tables, frame)  # now it pretends to have that page's hash
    tables.frames[frame]["high"], tables.frames[frame]["low"] = high_of(digest), low_of(digest)
    link(tables, frame, bucket_of(tables, digest))
    e.scan(one, 1)
    assert (e.get("collisions"), e.get("pages_sharing"), e.get("hint_frames")) == (1, 1, 0)
    assert one.read(1) == (6).to_bytes(8, "little") * 512


def test_counts_beyond_16_bits_are_in_the_overflow_table(make: Make) -> None:
    """The zero page's, as in the paper; and it comes back when pages are stored to."""
    e = make(70_000, page_size=8)
    memory = e.guest(*[0] * 66_000)
    e.scan(memory, *range(65_000))
    assert not e.policy._tables.large.any()
    e.scan(memory, *range(65_000, 66_000))
    tables = e.policy._tables
    assert tables.frames[ZERO_FRAME]["count"] == COUNT_LARGE
    assert count_of(tables, ZERO_FRAME) == 66_001
    assert np.count_nonzero(tables.large[:, 0]) == 1
    e.fill(memory, range(60_000), tuple([1] * 60_000))
    e.policy.scan(0)
    assert count_of(tables, ZERO_FRAME) == tables.frames[ZERO_FRAME]["count"] == 6_001
    assert not tables.large[:, 0].any()


def test_the_table_takes_less_than_half_a_per_cent_of_memory() -> None:
    """Section 4.2; here of 256 MiB of host memory, with guests twice as large together."""
    tables = make_tables(65_536, 131_072, 8)
    assert 0.004 < table_bytes(tables) / (65_536 * 4096) < 0.005
    assert tables.frames.itemsize == 16


def test_a_full_table_gives_hints_up(make: Make) -> None:
    e = make(8)
    memory = e.guest(*range(1, 9))
    for turn in range(40):
        e.fill(memory, range(8), tuple(range(turn * 8 + 1, turn * 8 + 9)))
        e.scan(memory, *range(8))
    assert e.get("hints_evicted") > 200
    e.fill(memory, range(8), (1, 1, 1, 1, 2, 2, 2, 2))
    e.scan(memory, *range(8))
    assert e.host.frames_in_use() == 2


def test_pages_are_drawn_evenly(make: Make) -> None:
    e = make(400)
    guests = [e.guest(*range(n * 1000, n * 1001)) for n in (100, 200, 50)]
    drawn = draw_pages(e.host, [m.mm for m in guests], np.random.default_rng(3), 350 * 1000)
    for memory in guests:
        first = int(e.host.arrays.mms[memory.mm]["first"])
        counts = np.bincount(drawn - first + 1000, minlength=1400)[1000 : 1000 + memory.pages]
        assert counts.min() > 850
        assert counts.max() < 1150
    assert e.policy.scan(350) == 350
    looked = e.get("hints_made")
    assert abs(looked / 350 - (1 - 1 / math.e)) < 0.06  # with repetition: 63 % of them in one round
    assert e.get("full_scans") == 1


def scanned_in(e: EsxHost, milliseconds: int, pages: int, step: int = 100) -> int:
    """Pages scanned in so much time, with batches of so many pages."""
    total, start = 0, e.policy.now_ms
    for now in range(start + step, start + milliseconds + 1, step):
        e.policy.charge(now, 0)
        total += e.policy.scan(pages)
    return total


def test_the_defaults_are_those_of_esx() -> None:
    assert {knob: t.default for knob, t in Esx.tunables.items()} == {
        "host_pages_per_second": 200,
        "vm_pages_per_second": 450,
        "salting": 0,
    }


def test_the_host_keeps_its_rate(make: Make) -> None:
    e = make(400)
    e.guest(*range(1, 201))
    e.policy.set("host_pages_per_second", "200")
    assert e.policy.scan(1000) == 200  # what one second gives is there at the start
    assert e.policy.scan(1000) == 0
    assert scanned_in(e, 3000, 1000) == 600
    assert scanned_in(e, 1000, 5) == 50  # the schedule allows less
    assert scanned_in(e, 60_000, 1000, step=60_000) == 200  # what was not used is lost


def test_a_guest_has_a_rate_of_its_own(make: Make) -> None:
    e = make(400)
    one, _ = e.guest(*range(1, 201)), e.guest(*range(201, 301))
    e.policy.set("vm_pages_per_second", "50")
    assert e.policy.scan(10_000) == 100
    assert scanned_in(e, 4000, 10_000) == 400
    one.exit()
    e.policy.exit(one.mm)
    assert scanned_in(e, 4000, 10_000) == 200
    e.policy.set("host_pages_per_second", "20")
    assert scanned_in(e, 4000, 10_000) == 20 + 78  # its bucket is full, and the first tick adds nothing


def test_a_successor_takes_shared_pages_into_its_table(make: Make) -> None:
    e = make()
    one, two = e.guest(5, 3), e.guest(5)
    e.scan(one, 0)
    e.scan(two, 0)
    e.policy = Esx(e.host, 9)
    three = e.guest(5)
    for memory in (one, two):
        e.policy.enter(memory.mm)
    e.scan(two, 0)
    e.scan(three, 0)
    assert (e.get("adopted"), e.get("pages_shared"), e.get("pages_sharing")) == (1, 1, 2)
    e.scan(one, 0)
    assert e.get("adopted") == 1


def test_the_bill_is_of_bytes_hashed(make: Make) -> None:
    e = make()
    e.guest(1, 2, 3, 3)
    e.settle()
    done = e.policy.work.done
    assert done["hash_byte"] == e.get("pages_hashed") * 4096
    assert done["merge"] == 2  # the page that gives its frame, and the one that joins it
    assert done["visit"] == e.get("pages_scanned")
    assert e.get("pages_hashed") < e.get("pages_scanned")  # pages shared already are not hashed


def test_a_broken_table_is_noticed(make: Make) -> None:
    e = make()
    memory = e.guest(1, 2)
    e.scan(memory, 0, 1)
    e.policy._tables.state[2] += 1
    with pytest.raises(InvariantError, match="in use"):
        e.policy.check()
