"""One currency: what ksmd does too costs every policy what it costs ksmd, and what only others do follows from that."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from vmdedup.host.memory import Host
from vmdedup.ksm.prices import BUILT_IN
from vmdedup.policy.base import Policy
from vmdedup.policy.table import load_policy
from vmdedup.policy.uksm.layout import LINE_WORDS
from vmdedup.policy.uksm.policy import Uksm
from vmdedup.policy.work import CACHE_LINE, PRICES_NS, price_list
from vmdedup.scanner.budget import CpuBudget
from vmdedup.units import PAGE_SIZE

SHARERS = ("ksm", "xlh", "ksm_domains", "esx", "difference_engine", "uksm", "ideal", "n_chance", "background")
ZEROS = 32


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host.create(512, mms=4)
    yield made
    made.close()


def guest(host: Host, policy: Policy, *contents: int, absent: int = 0) -> None:
    """A guest whose pages hold one number each, and which has touched no others."""
    memory = host.add(len(contents) + absent)
    rows = np.repeat(np.array(contents, np.int64)[:, np.newaxis], PAGE_SIZE // 8, axis=1)
    memory.write_pages(np.arange(len(contents)), rows.view(np.uint8))
    policy.enter(memory.mm)


def work(policy: Policy, batches: int = 30, pages: int = 8) -> int:
    """Batches of a second each. Returns how many of them found something to look at."""
    woken = 0
    for _ in range(batches):
        policy.charge(policy.now_ms + 1000, 0)
        woken += policy.batch(pages) > 0
    return woken


def test_a_visit_and_a_hashed_byte_take_what_the_kernel_s_ksmd_was_seen_to_take() -> None:
    """README.md, first row of "How fast": 2.40 million pages a second in the steady state, 0.86 in the first pass.

    In the steady state a page is visited; in the first pass it is hashed as well. Every policy pays that.
    """
    assert PRICES_NS["visit"] == pytest.approx(1e9 / 2.40e6, rel=0.01)
    assert PRICES_NS["visit"] + PAGE_SIZE * PRICES_NS["hash_byte"] == pytest.approx(1e9 / 0.86e6, rel=0.01)


# Four batches over three pages, of which two are equal, and two places without one. In order: batches, visits, absent
# places, pages hashed, bytes compared, steps by hash, steps down the stable and the unstable tree, merges.
BILLS = {
    # Hashes all, then all again: one pair is merged; the third page looks once into each tree. Then that one only.
    "ksm": (4, 12, 8, 8, PAGE_SIZE, 0, 3, 1, 2),
    "ksm_domains": (4, 12, 8, 8, PAGE_SIZE, 0, 3, 1, 2),
    # As that, but looks into two tables by hash instead of trees, the second time in two scans for the third page.
    "exclusion": (4, 12, 8, 8, PAGE_SIZE, 6 + 6 + 6, 0, 0, 2),
    # All by hash in one look; then there is nothing to do.
    "ideal": (1, 3, 2, 3, 0, 6, 0, 0, 2),
    # A line of each page, each time.
    "zero_only": (4, 12, 8, 0, 4 * 3 * CACHE_LINE, 0, 0, 0, 0),
    # Idle pages go into frames of their own, alone or not; what is there needs no look.
    "vusion": (4, 6, 2 + 2 + 5 + 5, 3, 3 * PAGE_SIZE, 6, 0, 0, 3),
}
# Nanoseconds, in that order; the visit and the hash as above, a step by hash a third of one down the stable tree.
BY_HAND = (40_000, 417, 25, 0.182 * PAGE_SIZE, 0.107, 50, 150, 310, 700)


@pytest.mark.parametrize("name", sorted(BILLS))
def test_the_bill_is_what_was_done_by_its_price(name: str, host: Host) -> None:
    policy = load_policy(name)(host, 1)
    guest(host, policy, 1, 1, 2, absent=2)
    work(policy, 4, 5)
    expected = sum(times * price for times, price in zip(BILLS[name], BY_HAND, strict=True))
    assert policy.work_ns() == pytest.approx(expected, abs=1)


def test_a_host_that_takes_twice_as_long_takes_it_for_everything() -> None:
    doubled = price_list({name: 2 * price for name, price in BUILT_IN.items()})
    assert doubled == pytest.approx({name: 2 * price for name, price in PRICES_NS.items()})


def test_what_only_others_do_is_in_proportion_to_sharing_a_page() -> None:
    """Gupta et al. 2008, Table 2: share_page 6.2 µs, compress 29.7 µs, patch_page 338.1 µs."""
    share_page = BUILT_IN["merge"] + PAGE_SIZE * BUILT_IN["compare_byte"]
    assert PRICES_NS["word_patch"] == pytest.approx(share_page)
    assert PRICES_NS["compress"] == pytest.approx(share_page * 29.7 / 6.2)
    assert PRICES_NS["patch"] == pytest.approx(share_page * 338.1 / 6.2)


@pytest.mark.parametrize("name", SHARERS)
def test_a_pair_is_two_merges_whoever_finds_it(name: str, host: Host) -> None:
    """As ksmd is billed for it: the page that gives its frame is protected, too; the other one is replaced."""
    policy = load_policy(name)(host, 1)
    guest(host, policy, 1, 1, 2)
    work(policy)
    assert policy.counters()["pages_shared"] == 1
    assert policy.work_done()["merge"] == 2


@pytest.mark.parametrize("name", SHARERS)
def test_a_place_without_a_page_is_cheaper_than_a_visit(name: str, host: Host) -> None:
    policy = load_policy(name)(host, 1)
    guest(host, policy, 1, 2, absent=ZEROS)
    work(policy)
    done = policy.work_done()
    assert done["absent"] > 0
    assert done["visit"] > 0
    if name != "esx":  # draws at random
        assert done["visit"] % 2 == 0


@pytest.mark.parametrize("name", [*SHARERS, "none", "vusion", "zero_only", "zram"])
def test_waking_up_is_billed_once_a_batch(name: str, host: Host) -> None:
    policy = load_policy(name)(host, 1)
    guest(host, policy, 1, 1, 2)
    guest(host, policy, 3)
    woken = work(policy)
    assert policy.work_done().get("batch", 0) == woken
    assert (woken > 0) == (name != "none")


def test_uksm_pays_for_the_lines_in_which_its_words_lie(host: Host) -> None:
    policy = Uksm(host, 1)
    guest(host, policy, *range(1, 11))
    policy.batch(10)
    words = policy._tables.words
    for strength in (0, 1, 64, 200, 1034):
        assert policy._tables.lines[strength] == len(set((words[:strength] // LINE_WORDS).tolist()))
    assert policy._tables.lines[1034] == PAGE_SIZE // CACHE_LINE
    done = policy.work_done()
    assert done["hash_byte"] == 10 * CACHE_LINE * policy._tables.lines[64]
    # Its kernel has trees of hashes: the n-th page goes down the one of the n - 1 before it.
    assert done["hash_step"] == sum(n.bit_length() for n in range(10))
    policy.check()


def each_scan(name: str) -> list[float]:
    """What a page costs in each of three full scans of pages of which none is equal to another. Nanoseconds."""
    host, pages = Host.create(4096, mms=2), 4096 - 64
    try:
        policy = load_policy(name)(host, 1)
        memory = host.add(pages)
        noise = np.random.default_rng(1).integers(0, 256, (pages, PAGE_SIZE), dtype=np.uint8)
        memory.write_pages(np.arange(pages), noise)
        policy.enter(memory.mm)
        bills, scans = [0], 0
        while scans < 3:
            policy.batch(100)
            if policy.counters()["full_scans"] > scans:
                scans += 1
                bills.append(policy.work_ns())
        return [(after - before) / pages for before, after in pairwise(bills)]
    finally:
        host.close()


@pytest.mark.compiled
def test_uksm_looks_at_more_pages_for_its_cpu_once_all_were_seen() -> None:
    ksm, uksm = each_scan("ksm"), each_scan("uksm")
    assert ksm[0] < uksm[0]  # at the first look KSM only hashes
    assert 2 < ksm[1] / uksm[1] < 4
    assert 2 < ksm[2] / uksm[2] < 4


@pytest.mark.parametrize("share", [0.001, 0.01, 0.5])
def test_a_share_of_a_core_is_not_spent_on_waking_up(share: float) -> None:
    wake, page = BUILT_IN["batch"], 3_000
    budget, spent, pages = CpuBudget(share), 0.0, 0
    for _ in range(50):
        wanted = budget.pages()
        cost = round(wake + wanted * page)
        spent, pages = spent + cost, pages + wanted
        assert budget.interval(wanted, cost) == pytest.approx(cost / share, abs=1)
    assert 50 * wake < 0.15 * spent
    assert pages > 0
