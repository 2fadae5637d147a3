"""Known answers: of planted dumps every policy makes exactly what the rules of its paper say, page by page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from pathlib import Path

import numpy as np
import pytest

from kit.known_answers import CASES, Case
from kit.planted import ABSENT, IN_ZERO_PAGE, Guests, canonical, guests_of, plant, write_dumps
from vmdedup.policy.base import Policy
from vmdedup.policy.table import POLICIES, load_policy

PLAN = plant()
EVERY = [
    pytest.param(name, case, id=f"{name}-{number}") for name in sorted(CASES) for number, case in enumerate(CASES[name])
]


@pytest.fixture(scope="module")
def dumps(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The structure, written out once."""
    return write_dumps(PLAN, tmp_path_factory.mktemp("dumps"))


def test_every_policy_has_its_answer() -> None:
    assert sorted(CASES) == sorted(POLICIES), "say in known_answers.py what each policy has to make of planted memory"


@pytest.mark.parametrize(("name", "case"), EVERY)
def test_what_is_planted_is_found(name: str, case: Case, dumps: list[Path]) -> None:
    with guests_of(PLAN, dumps, case.declared) as guests:
        policy = attach(name, case, guests)
        work(policy, case, len(guests.planted()))
        seen, expected = canonical(guests.seen()), canonical(answer(case, guests))
        assert differences(guests, seen, expected) == []
        check_figures(policy, guests, expected)
        assert guests.verify() == sum(label != ABSENT for label in expected)
        guests.host.check()


def attach(name: str, case: Case, guests: Guests) -> Policy:
    """The policy with its tunables, to which every guest is known."""
    policy = load_policy(name)(guests.host, 1)
    for knob, value in case.knobs.items():
        policy.set(knob, str(value))
    for mm in guests.mms:
        policy.enter(mm)
        if case.hinted:
            memory = guests.host.memory(mm)
            memory.hint(np.arange(memory.pages))
    return policy


def work(policy: Policy, case: Case, pages: int) -> None:
    """So many rounds, the clock going on."""
    for _ in range(case.rounds):
        policy.charge(policy.now_ms + case.ms, 0)
        policy.scan(pages)
    policy.check()


def answer(case: Case, guests: Guests) -> list[Hashable]:
    """What the rule says of each page; what is absent stays so."""
    return [ABSENT if page.what == ABSENT else case.rule(page, number) for number, page in enumerate(guests.planted())]


def differences(guests: Guests, seen: list[Hashable], expected: list[Hashable]) -> list[str]:
    """Pages that are otherwise than they should be, in words."""
    rows = zip(guests.planted(), seen, expected, strict=True)
    return [f"{page}: {found}, not {wanted}" for page, found, wanted in rows if found != wanted]


def check_figures(policy: Policy, guests: Guests, expected: list[Hashable]) -> None:
    """The policy's counters, and the host's memory, are those of the answer."""
    users = Counter(label for label in expected if not isinstance(label, str))
    several = [count for count in users.values() if count > 1]
    counters = policy.counters()
    assert (counters["pages_shared"], counters["pages_sharing"]) == (len(several), sum(several) - len(several))
    assert counters.get("ksm_zero_pages", 0) == expected.count(IN_ZERO_PAGE)
    assert guests.host.frames_in_use() == len(users) + counters.get("storage_frames", 0)
