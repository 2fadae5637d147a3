"""Who shares with whom: KSM within domains, and empty pages alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vmdedup.errors import KnobError
from vmdedup.host.memory import Host
from vmdedup.host.space import Memory
from vmdedup.policy.base import Policy
from vmdedup.policy.ksm import Ksm
from vmdedup.policy.tenancy.domains import KsmDomains
from vmdedup.policy.tenancy.zero_only import ZeroOnly

PAGES = 64
DOMAINS = (1, 1, 2, 2)  # of four guests


@pytest.fixture
def host() -> Iterator[Host]:
    """Room for six guests."""
    made = Host.create(6 * PAGES, mms=6)
    yield made
    made.close()


def contents(count: int = PAGES) -> np.ndarray:
    """Rows of which each is there twice, but for four empty ones."""
    rows = np.random.default_rng(7).integers(0, 256, (count, 4096), dtype=np.uint8)
    rows[count // 2 :] = rows[: count // 2]
    rows[:4] = 0
    return rows


def guests(host: Host) -> list[Memory]:
    """Four guests with the same 64 pages each."""
    made = [host.add(PAGES, f"g{number}", domain=domain) for number, domain in enumerate(DOMAINS)]
    for memory in made:
        memory.write_pages(np.arange(PAGES), contents())
    return made


def scanned(policy: Policy, memories: list[Memory], rounds: int = 6) -> Policy:
    """Let a policy come to rest."""
    for memory in memories:
        policy.enter(memory.mm)
    for _ in range(rounds * len(memories)):
        policy.scan(4 * PAGES)
    policy.check()
    policy.host.check()
    return policy


def shares(host: Host) -> np.ndarray:
    """Whether two guests share a frame, bool[mms, mms], each with itself left out."""
    matrix, _ = host.sharing()
    np.fill_diagonal(matrix, 0)
    return matrix > 0


@pytest.mark.parametrize("scope", [0, 1, 2])
def test_frames_left_are_the_contents_of_each_domain(host: Host, scope: int) -> None:
    different = len(np.unique(contents(), axis=0))
    policy = KsmDomains(host)
    policy.set("scope", str(scope))
    scanned(policy, guests(host))
    assert host.frames_in_use() == different * (1, 2, 4)[scope]
    assert policy.counters()["domains"] == (1, 2, 4)[scope]
    assert policy.counters()["pages_shared"] + policy.counters()["pages_unshared"] <= host.frames_in_use()


def test_no_frame_is_shared_between_domains(host: Host) -> None:
    memories = guests(host)
    scanned(KsmDomains(host), memories)
    expected = np.zeros((len(host.arrays.mms), len(host.arrays.mms)), np.bool_)
    for one, other in ((0, 1), (2, 3)):
        expected[memories[one].mm, memories[other].mm] = expected[memories[other].mm, memories[one].mm] = True
    np.testing.assert_array_equal(shares(host), expected)


def test_each_guest_alone_shares_with_nobody(host: Host) -> None:
    policy = KsmDomains(host)
    policy.set("scope", "2")
    scanned(policy, guests(host))
    assert not shares(host).any()
    assert policy.counters()["pages_sharing"] > 0


def test_one_domain_is_plain_ksm() -> None:
    """The same pages, in the same order, with the same figures after each batch."""
    hosts = [Host.create(6 * PAGES, mms=6) for _ in range(2)]
    plain, grouped = Ksm(hosts[0]), KsmDomains(hosts[1])
    grouped.set("scope", "0")
    memories = []
    for policy in (plain, grouped):
        memories.append(guests(policy.host))
        for memory in memories[-1]:
            policy.enter(memory.mm)
    random = np.random.default_rng(3)
    for batch in range(40):
        assert plain.scan(37) == grouped.scan(37)
        theirs = grouped.counters()
        assert plain.counters() == {name: theirs[name] for name in plain.counters()}, batch
        assert plain.work_ns() == grouped.work_ns()
        page = random.integers(PAGES, size=3)
        for which in memories:
            which[batch % 4].write_pages(page, np.full((3, 4096), batch, np.uint8))
    for made in hosts:
        made.close()


def test_what_guests_store_meanwhile_stays_theirs(host: Host) -> None:
    memories = guests(host)
    policy = KsmDomains(host)
    known = [contents() for _ in memories]
    random = np.random.default_rng(5)
    for memory in memories:
        policy.enter(memory.mm)
    for _ in range(60):
        policy.scan(50)
        who = int(random.integers(4))
        pages = random.choice(PAGES, 6, replace=False)
        known[who][pages] = contents()[random.permutation(PAGES)[:6]]
        memories[who].write_pages(pages, known[who][pages])
        policy.check()
        host.check()
    for memory, rows in zip(memories, known, strict=True):
        np.testing.assert_array_equal(memory.read_pages(np.arange(PAGES)), rows)


def test_guests_leave_and_others_take_their_places(host: Host) -> None:
    """A record that one domain's guest had is another's now."""
    memories = guests(host)
    policy = scanned(KsmDomains(host), memories)
    for memory in memories[1:3]:
        memory.exit()
        policy.exit(memory.mm)
    for _ in range(8):
        policy.scan(4 * PAGES)
    late = [host.add(PAGES, domain=domain) for domain in (2, 1, 3)]
    for memory in late:
        memory.write_pages(np.arange(PAGES), contents())
    scanned(policy, late)
    expected = {(memories[0].mm, late[1].mm), (memories[3].mm, late[0].mm)}
    rows, columns = np.nonzero(np.triu(shares(host) | shares(host).T))
    found = {(int(a), int(b)) for a, b in zip(rows, columns, strict=True)}
    assert found == {(min(pair), max(pair)) for pair in expected}


def test_a_forks_pages_are_copied_when_it_is_a_domain_of_its_own(host: Host) -> None:
    memories = guests(host)[:1]
    policy = KsmDomains(host)
    policy.set("scope", "2")
    scanned(policy, memories)
    child = memories[0].fork()
    host.check()
    assert shares(host).any()
    scanned(policy, [child])
    frames = [set(((m.entries >> 16) & 0xFFFFFFFF).tolist()) - {0} for m in (memories[0], child)]
    merged = {pfn for pfn in frames[0] & frames[1] if host.arrays.frames[pfn] >> 32}
    assert not merged
    assert policy.ksm_stat(child.mm)["ksm_merging_pages"] > 0


def test_a_forks_pages_stay_shared_within_its_domain(host: Host) -> None:
    memories = guests(host)[:1]
    policy = scanned(KsmDomains(host), memories)
    before = host.frames_in_use()
    child = memories[0].fork()
    assert host.arrays.mms[child.mm]["domain"] == 1
    scanned(policy, [child])
    assert host.frames_in_use() == before


def test_what_plain_ksm_has_merged_is_taken_apart(host: Host) -> None:
    memories = guests(host)
    scanned(Ksm(host), memories)
    assert shares(host).any()
    policy = KsmDomains(host)
    policy.set("scope", "2")
    for memory in memories:
        policy.enter(memory.mm)
    assert not shares(host).any()
    scanned(policy, [])
    for _ in range(24):
        policy.scan(4 * PAGES)
    assert not shares(host).any()
    policy.check()


def test_run_2_unmerges_every_domain(host: Host) -> None:
    policy = scanned(KsmDomains(host), guests(host))
    policy.set("run", "2")
    assert (policy.counters()["pages_sharing"], host.frames_in_use()) == (0, 4 * PAGES)
    assert policy.scan(10) == 0
    policy.check()


def test_scope_is_fixed_once_a_guest_is_there(host: Host) -> None:
    policy = KsmDomains(host)
    policy.set("scope", "2")
    with pytest.raises(KnobError, match="EINVAL"):
        policy.set("scope", "3")
    policy.enter(guests(host)[0].mm)
    policy.set("scope", "2")
    with pytest.raises(KnobError, match="EBUSY"):
        policy.set("scope", "1")
    with pytest.raises(KnobError, match="ENOENT"):
        policy.set("advisor_mode", "scan-time")


def test_tunables_reach_domains_that_come_later(host: Host) -> None:
    policy = KsmDomains(host)
    policy.set("use_zero_pages", "1")
    scanned(policy, guests(host))
    assert policy.counters()["ksm_zero_pages"] == 4 * 4
    assert policy.get("use_zero_pages") == 1


def test_zero_only_shares_empty_pages_and_no_others(host: Host) -> None:
    policy = scanned(ZeroOnly(host), guests(host))
    assert policy.counters()["ksm_zero_pages"] == 4 * 4
    assert host.frames_in_use() == 4 * (PAGES - 4)
    assert not shares(host).any()
