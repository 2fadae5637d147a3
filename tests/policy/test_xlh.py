"""XLH: hints before linear scan, in turns, and what a hinted page waits in. Source: Miller et al., ATC 2013."""

from __future__ import annotations

import numpy as np
import pytest

from kit.making import maker_of
from kit.xlh_host import VARIANTS, Make, XlhHost
from vmdedup.errors import InvariantError, KnobError
from vmdedup.host.layout import CTL_HINTS, HINT_RING, WRITABLE
from vmdedup.host.memory import Host
from vmdedup.ksm.ksmd import Ksmd
from vmdedup.policy.xlh import layout
from vmdedup.policy.xlh.policy import Xlh
from vmdedup.policy.xlh.stack import HintStack

make = maker_of(XlhHost)


# The stack


def test_the_newest_hint_is_taken_first_and_the_oldest_is_lost() -> None:
    stack = HintStack(4)
    stack.push(np.array([1, 2, 3]))
    assert stack.pop(1).tolist() == [3]
    stack.push(np.array([4, 5, 6]))
    assert (len(stack), stack.lost) == (4, 1)
    assert stack.pop(3).tolist() == [6, 5, 4]
    assert stack.pop(9).tolist() == [2]
    assert stack.pop(1).tolist() == []


def test_more_hints_than_places_at_once() -> None:
    stack = HintStack(4)
    stack.push(np.arange(3))
    stack.push(np.arange(10, 20))
    assert stack.lost == 9
    assert stack.pop(5).tolist() == [19, 18, 17, 16]


def test_another_size_keeps_the_newest() -> None:
    stack = HintStack(4)
    stack.push(np.arange(6))
    stack.resize(3)
    assert stack.lost == 3
    stack.resize(5)
    stack.push(np.array([9]))
    assert stack.pop(9).tolist() == [9, 5, 4, 3]


def test_old_hints_age_away(make: Make) -> None:
    """Hints beyond the stack's size are never served, however much time there is."""
    x = make(hint_stack=8)
    memory = x.guest(*range(100, 140))
    memory.hint(np.arange(40))
    x.policy.scan(10)
    assert (x.get("hints"), x.get("hints_lost"), x.get("pages_hinted")) == (40, 32, 8)
    first = int(x.host.arrays.mms[memory.mm]["first"])
    looked_at = np.flatnonzero(x.policy._hinted.records.hinted_at)
    assert looked_at.tolist() == list(range(first, first + 40))
    assert sorted(np.flatnonzero(~(memory.entries & WRITABLE > 0)).tolist()) == list(range(32, 40))


def test_a_ring_that_overflows_is_counted(make: Make) -> None:
    x = make(hint_stack=2 * HINT_RING)
    memory = x.guest(*range(100, 200))
    for _ in range(HINT_RING // 100 + 2):
        memory.hint(np.arange(100))
    x.policy.scan(1)
    assert x.get("hints") == (HINT_RING // 100 + 2) * 100
    assert x.get("hints_lost") == x.get("hints") - HINT_RING
    assert x.get("hints_waiting") == HINT_RING - 1


def test_guests_share_the_stack(make: Make) -> None:
    """What came at the same time is served in turns, not one guest after the other."""
    x = make()
    guests = [x.guest(*range(100 * n, 100 * n + 50)) for n in (1, 2)]
    for memory in guests:
        memory.hint(np.arange(50))
    x.policy.scan(10)
    protected = [int((memory.entries & WRITABLE == 0).sum()) for memory in guests]
    assert protected == [5, 5]


# Turns


@pytest.mark.parametrize(("hint_runs", "scan_runs"), [(1, 1), (2, 1), (1, 3), (0, 1)])
@pytest.mark.parametrize("batch", [1, 7, 10, 64])
def test_runs_take_turns_exactly(make: Make, hint_runs: int, scan_runs: int, batch: int) -> None:
    x = make(hint_runs=hint_runs, scan_runs=scan_runs)
    memory = x.guest(*range(1, 901))
    memory.hint(np.arange(600))
    cycle = [True] * 10 * hint_runs + [False] * 10 * scan_runs
    scanned = 0
    while scanned < 320:
        scanned += x.policy.scan(batch)
        assert x.get("pages_scanned") == scanned
        assert x.get("pages_hinted") == sum(cycle[n % len(cycle)] for n in range(scanned))


def test_a_run_without_hints_scans_linearly(make: Make) -> None:
    x = make()
    memory = x.guest(*range(1, 901))
    memory.hint(np.arange(3))
    assert x.policy.scan(100) == 100
    assert x.get("pages_hinted") == 3
    assert x.get("ksm_zero_pages") == 0
    assert x.policy._hinted.ksm_stat(memory.mm)["ksm_rmap_items"] == 97  # the three were the first ones


def test_useless_hints_halve_the_linear_rate_at_worst(make: Make) -> None:
    x, plain = make(), make(hint_runs=0)
    rates = []
    for each in (x, plain):
        memory = each.guest(*range(1, 901))
        memory.discard(np.arange(700, 900))
        for _ in range(20):
            memory.hint(np.arange(700, 900))
            assert each.policy.scan(20) == 20
        rates.append(each.get("pages_scanned") - each.get("pages_hinted"))
        assert each.get("hints_missed") == each.get("pages_hinted")
    assert rates == [200, 400]


@pytest.mark.parametrize("variant", [layout.READ_WRITE, layout.READ_ONLY])
def test_no_hint_runs_is_plain_ksm(variant: int) -> None:
    random = np.random.default_rng(5)
    x = XlhHost(variant=variant, hint_runs=0, smart_scan=1)
    other = Host.create(1024, mms=8)
    ksmd = Ksmd(other)
    ksmd.set("run", "1")
    try:
        memories = [(x.guest(*[0] * 200), other.add(200, "g")) for _ in range(3)]
        for _, theirs in memories:
            theirs.write_pages(np.arange(200), np.zeros((200, 4096), np.uint8))
            ksmd.enter(theirs.mm)
        for _ in range(80):
            for ours, theirs in memories:
                pages = random.choice(200, 12, replace=False)
                rows = np.repeat(random.integers(0, 60, (12, 1)), 512, axis=1).view(np.uint8)
                ours.write_pages(pages, rows)
                theirs.write_pages(pages, rows)
                ours.hint(pages)
            assert x.policy.scan(150) == ksmd.scan(150)
            mine = x.policy.counters()
            assert {name: mine[name] for name in ksmd.counters()} == ksmd.counters()
        assert mine["found_by_scan"] > 100
        x.policy.check()
    finally:
        other.close()
        x.host.close()


# Hinted pages


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_pair_is_merged_at_its_first_visit(make: Make, variant: int) -> None:
    """ksmd has to see a page unchanged first, and then its partner."""
    x = make(variant=variant)
    one, two, three = x.guest(1, 7), x.guest(7, 2), x.guest(7, 3)
    x.hinted(one, 1)
    assert (x.get("pages_unshared"), x.get("pages_sharing")) == (1, 0)
    x.hinted(two, 0)
    assert (x.get("pages_shared"), x.get("pages_sharing"), x.get("pages_unshared")) == (1, 1, 0)
    x.hinted(three, 0)  # by the stable tree now
    assert (x.get("pages_sharing"), x.get("found_by_hint"), x.get("found_by_scan")) == (2, 2, 0)
    x.hinted(three, 0)
    assert x.get("found_by_hint") == 2
    x.host.check()


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_hinted_page_is_found_by_the_linear_scan_too(make: Make, variant: int) -> None:
    x = make(variant=variant)
    one, _ = x.guest(1, 7), x.guest(*range(20, 50), 7)
    x.policy.charge(100, 0)
    for _ in range(2):
        x.policy._hinted.full_scan()
    assert (x.get("pages_sharing"), x.get("found_by_scan")) == (1, 1)
    x.fill(one, 0, 20)
    x.policy.charge(400, 0)
    x.hinted(one, 0)
    if variant != layout.HASH_TABLE:  # the table is not emptied when a full scan ends: its pair is found at once
        assert (x.get("pages_sharing"), x.get("found_hinted")) == (1, 0)
        x.policy._hinted.full_scan()
    assert (x.get("pages_sharing"), x.get("found_by_hint") + x.get("found_by_scan")) == (2, 2)


def test_the_wait_from_hint_to_merge_is_measured(make: Make) -> None:
    x = make(hint_runs=0)
    x.guest(7)
    one = x.guest(7)
    x.policy.charge(100, 0)
    one.hint(np.array([0]))
    x.policy.scan(2)
    x.policy.charge(450, 0)
    for _ in range(6):
        x.policy.scan(2)
    assert (x.get("pages_sharing"), x.get("found_hinted"), x.get("found_hinted_wait_ms")) == (1, 1, 350)


@pytest.mark.parametrize("variant", VARIANTS)
def test_empty_pages_become_the_zero_page(make: Make, variant: int) -> None:
    x = make(variant=variant, use_zero_pages=1)
    one = x.guest(1, 0)
    x.hinted(one, 1)
    assert (x.get("ksm_zero_pages"), x.get("found_by_hint")) == (1, 1)


def test_hints_that_lead_nowhere(make: Make) -> None:
    x = make()
    x.guest(1)
    gone, strange, frozen = x.guest(5, 6), x.guest(5, entered=False), x.guest(5)
    frozen.unmergeable(0, 0)
    gone.discard(np.array([0]))
    gone.hint(np.array([0, 1]))
    strange.hint(np.array([0]))
    frozen.hint(np.array([0]))
    x.policy._hinted.gather()
    x.policy._hinted._seen[strange.mm] = 0
    x.policy._hinted.gather()
    gone.exit()
    x.policy.exit(gone.mm)
    x.policy.scan(4)
    assert (x.get("pages_hinted"), x.get("hints_missed")) == (4, 4)
    x.policy.check()


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_hint_between_two_full_scans_is_not_forgotten(make: Make, variant: int) -> None:
    x = make(variant=variant)
    one = x.guest(*range(100, 120), 9)
    two = x.guest(*range(200, 220), 9)
    x.policy._hinted.full_scan()
    assert x.policy._hinted.arrays.st[0]["cursor"] == 0
    x.fill(one, 20, 9)
    x.hinted(one, 20)
    x.policy.check()
    x.hinted(two, 20)
    assert x.get("pages_sharing") == 1


def test_stopping_and_unmerging(make: Make) -> None:
    x = make(variant=layout.HASH_TABLE)
    one, two = x.guest(7, 8), x.guest(7, 9)
    one.hint(np.arange(2))
    two.hint(np.arange(2))
    x.policy.set("run", "0")
    assert x.policy.scan(4) == 0
    x.policy.set("run", "1")
    x.policy.scan(4)
    assert x.get("pages_sharing") == 1
    x.policy.set("run", "2")
    assert x.host.frames_in_use() == 4
    x.policy.check()
    x.policy.set("run", "1")
    x.hinted(one, 0, 1)
    x.hinted(two, 0, 1)
    assert x.get("pages_sharing") == 1


# The rest


def test_tunables_and_wishes(make: Make) -> None:
    x = make()
    assert Xlh.wants_hints
    assert x.host.arrays.ctl[CTL_HINTS] == 1
    defaults = {name: x.policy.get(name) for name in ("hint_stack", "hint_runs", "scan_runs", "variant")}
    assert defaults == {"hint_stack": 8192, "hint_runs": 1, "scan_runs": 1, "variant": layout.READ_ONLY}
    for knob, text in (("scan_runs", "0"), ("variant", "3"), ("hint_stack", "0")):
        with pytest.raises(KnobError, match="EINVAL"):
            x.policy.set(knob, text)
    x.policy.detach()
    assert x.host.arrays.ctl[CTL_HINTS] == 0


def test_hints_have_a_price(make: Make) -> None:
    x = make()
    memory = x.guest(1, 2, 3)
    memory.hint(np.arange(3))
    x.policy.scan(3)
    assert [x.policy.work_done()[what] for what in ("hint", "visit")] == [3, 3]


def test_damage_is_noticed(make: Make) -> None:
    x = make(variant=layout.HASH_TABLE)
    one = x.guest(1, 2)
    x.hinted(one, 0, 1)
    first = int(x.host.arrays.mms[one.mm]["first"])
    x.policy._hinted.records.slots[first] += 1
    with pytest.raises(InvariantError, match="says otherwise"):
        x.policy.check()
    x.policy._hinted.records.slots[first] = 0
    with pytest.raises(InvariantError):
        x.policy.check()
