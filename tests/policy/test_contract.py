"""What holds for every policy, whatever it does: contents, consistency, ceilings, reproducibility, no leaks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vmdedup.errors import KnobError, UsageError
from vmdedup.host.memory import Host, Memory
from vmdedup.policy.base import SCHEDULE, Policy
from vmdedup.policy.table import POLICIES, load_policy

PAGES, GUESTS = 96, 3
ROUNDS = 12
NAMES = sorted(POLICIES)
# Policies that keep pages in other forms too may save more than sharing whole pages can.
WHOLE_PAGE = [name for name in NAMES if not load_policy(name).below_page]


class Bench:
    """A small host with guests whose contents are known, and a policy at work on it."""

    def __init__(self, name: str, seed: int = 1) -> None:
        self.host = Host.create(GUESTS * PAGES, mms=GUESTS + 2, swap=True)
        self.policy: Policy = load_policy(name)(self.host, seed)
        self.random = np.random.default_rng(seed)
        self.guests: list[Memory] = []
        self.known: list[np.ndarray] = []
        for number in range(GUESTS):
            memory = self.host.add(PAGES, f"g{number}")
            rows = self.contents(PAGES)
            memory.write_pages(np.arange(PAGES), rows)
            self.policy.enter(memory.mm)
            self.guests.append(memory)
            self.known.append(rows)

    def contents(self, count: int) -> np.ndarray:
        """Rows of zeros, of one word, of a few common pages, of pages like them, of text, and of noise."""
        common = np.random.default_rng(99).integers(0, 256, (8, 4096)).astype(np.uint8)
        rows = np.zeros((count, 4096), np.uint8)
        for row, kind in zip(rows, self.random.integers(0, 6, count), strict=True):
            if kind == 1:
                row[:] = 0x55
            elif kind in (2, 3):
                row[:] = common[self.random.integers(8)]
                if kind == 3:
                    row[self.random.integers(0, 4096, 12)] ^= 1
            elif kind == 4:
                row[:] = self.random.integers(97, 101, 4096)
            elif kind == 5:
                row[:] = self.random.integers(0, 256, 4096)
        return rows

    def live(self) -> None:
        """Each guest stores into some pages, whole and in part, discards one and reads some."""
        for memory, rows in zip(self.guests, self.known, strict=True):
            whole = self.random.choice(PAGES, 4, replace=False)
            rows[whole] = self.contents(4)
            memory.write_pages(whole, rows[whole])
            for page in self.random.choice(PAGES, 3, replace=False).tolist():
                rows[page, 17] ^= 255
                memory.write(page, bytes([rows[page, 17]]), 17)
            gone = int(self.random.integers(PAGES))
            rows[gone] = 0
            memory.discard(np.array([gone]))
            memory.touch(self.random.choice(PAGES, 5, replace=False))

    def work(self, batches: int = 6, pages: int = 64) -> None:
        """Let the policy scan, its clock going on."""
        for _ in range(batches):
            self.policy.charge(self.policy.now_ms + 100, 0)
            self.policy.scan(pages)

    def verify(self) -> None:
        """Every guest reads back what it stored."""
        for memory, rows in zip(self.guests, self.known, strict=True):
            np.testing.assert_array_equal(memory.read_pages(np.arange(PAGES)), rows)

    def saved(self) -> int:
        """Pages with content of their own, less the frames that they take."""
        return int(self.host.allocated()[0].sum()) - self.host.frames_in_use()

    def possible(self) -> int:
        """What saved would be if every content were kept once, zeros not at all."""
        contents = {row.tobytes() for rows in self.known for row in rows if row.any()}
        return int(self.host.allocated()[0].sum()) - len(contents)

    def close(self) -> None:
        self.host.close()


@pytest.fixture(params=NAMES)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(request.param)
    yield made
    made.close()


def test_what_guests_read_never_changes(bench: Bench) -> None:
    for _ in range(ROUNDS):
        bench.work()
        bench.policy.check()
        bench.live()
        bench.policy.check()
    bench.verify()
    bench.host.check()


def test_all_memory_comes_back(bench: Bench) -> None:
    bench.work(12)
    for memory in bench.guests:
        memory.exit()
        bench.policy.exit(memory.mm)
    bench.work(12)
    bench.policy.detach()
    bench.host.check()
    assert bench.host.frames_in_use() == 0


def test_a_guest_can_leave_and_another_can_come(bench: Bench) -> None:
    bench.work(3)
    bench.guests[1].exit()
    bench.policy.exit(bench.guests[1].mm)
    bench.work(3)
    bench.policy.check()
    memory = bench.host.add(PAGES, "new")
    bench.policy.enter(memory.mm)
    bench.known[1] = bench.contents(PAGES)
    memory.write_pages(np.arange(PAGES), bench.known[1])
    bench.guests[1] = memory
    bench.work(6)
    bench.policy.check()
    bench.verify()


@pytest.mark.parametrize("name", WHOLE_PAGE)
def test_savings_never_exceed_the_possible(name: str) -> None:
    bench = Bench(name)
    for _ in range(4):
        bench.work(20)
        assert 0 <= bench.saved() <= bench.possible()
        bench.live()
    bench.close()


def test_ideal_saves_all_that_is_possible() -> None:
    bench = Bench("ideal")
    for _ in range(4):
        bench.work(1)
        assert bench.saved() == bench.possible() > 0
        bench.live()
    bench.close()


def test_the_same_seed_does_the_same(bench: Bench) -> None:
    other = Bench(bench.policy.name)
    for one in (bench, other):
        for _ in range(4):
            one.work(9, 17)
            one.live()
    assert bench.policy.counters() == other.policy.counters()
    assert bench.policy.work_ns() == other.policy.work_ns()
    assert bench.saved() == other.saved()
    other.close()


def test_a_scan_keeps_to_its_budget(bench: Bench) -> None:
    if bench.policy.name == "ideal":
        return  # looks at everything, whatever its budget
    for pages in (0, 1, 5, 64):
        before = bench.policy.counters()["pages_scanned"]
        looked = bench.policy.scan(pages)
        assert 0 <= looked <= pages
        assert bench.policy.counters()["pages_scanned"] - before == looked


def test_scanning_costs_and_figures_are_there(bench: Bench) -> None:
    bench.work()
    counters = bench.policy.counters()
    assert {"full_scans", "pages_scanned", "pages_shared", "pages_sharing"} <= set(counters)
    assert (bench.policy.work_ns() > 0) == (bench.policy.name != "none")
    stat = bench.policy.ksm_stat(bench.guests[0].mm)
    assert stat["ksm_merging_pages"] <= PAGES


def test_tunables_are_read_and_refused(bench: Bench) -> None:
    policy = bench.policy
    for knob in SCHEDULE:
        policy.set(knob, "1")
        assert policy.get(knob) == policy.knobs()[knob] == 1
    with pytest.raises(KnobError, match="ENOENT"):
        policy.set("no_such_knob", "1")
    with pytest.raises(KnobError, match="EINVAL"):
        policy.set("pages_to_scan", "many")


def test_each_says_where_it_comes_from(bench: Bench) -> None:
    assert bench.policy.name in POLICIES
    assert bench.policy.source
    for knob, tunable in bench.policy.all_tunables().items():
        assert tunable.name == knob
        assert tunable.meaning


def test_a_new_one_can_take_over(bench: Bench) -> None:
    """As after the old one was killed: nothing told it to let go."""
    bench.work()
    bench.host.recover()
    bench.policy = load_policy(bench.policy.name)(bench.host, 2)
    for memory in bench.guests:
        bench.policy.enter(memory.mm)
    bench.work()
    bench.host.check()
    bench.live()
    bench.work()
    bench.verify()
    bench.host.check()


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no policy 'ksn'; give one of"):
        load_policy("ksn")
