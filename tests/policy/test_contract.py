"""What holds for every policy, whatever it does: what `vmdedup policy check` tries, and what that leaves out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from vmdedup.errors import KnobError, UsageError
from vmdedup.policy.bench import PAGES, Bench
from vmdedup.policy.table import POLICIES, load_policy
from vmdedup.policy.trial import RULES, failure

NAMES = sorted(POLICIES)


@pytest.fixture(params=NAMES)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(load_policy(request.param), 1)
    yield made
    made.host.close()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", NAMES)
def test_every_policy_keeps_to_the_contract(name: str, rule: str) -> None:
    """Each rule fails for somebody: tests/policy/test_contract_rules.py."""
    assert failure(rule, load_policy(name)) is None


def test_ideal_saves_all_that_is_possible() -> None:
    bench = Bench(load_policy("ideal"), 1)
    for _ in range(4):
        bench.work(1)
        assert bench.saved() == bench.possible() > 0
        bench.live()
    bench.host.close()


def test_all_but_those_that_look_at_everything_keep_their_budget() -> None:
    assert [name for name in NAMES if not load_policy(name).keeps_budget] == ["ideal"]


def test_scanning_costs_and_no_guest_shares_more_than_it_has(bench: Bench) -> None:
    bench.work()
    assert (bench.policy.work_ns() > 0) == (bench.policy.name != "none")
    assert all(bench.policy.ksm_stat(memory.mm)["ksm_merging_pages"] <= PAGES for memory in bench.guests)


def test_what_a_tunable_cannot_be_is_refused_with_its_reason(bench: Bench) -> None:
    with pytest.raises(KnobError, match="ENOENT"):
        bench.policy.set("no_such_knob", "1")
    with pytest.raises(KnobError, match="EINVAL"):
        bench.policy.set("pages_to_scan", "many")


def test_each_says_where_it_comes_from(bench: Bench) -> None:
    assert bench.policy.name in POLICIES
    assert bench.policy.source
    for knob, tunable in bench.policy.all_tunables().items():
        assert tunable.name == knob
        assert tunable.meaning


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no policy 'ksn'; give one of"):
        load_policy("ksn")
