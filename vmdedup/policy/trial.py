"""What every policy has to keep to, tried on a small host, with a verdict in plain words for each rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from vmdedup.errors import KnobError
from vmdedup.policy.base import SCHEDULE, Policy
from vmdedup.policy.bench import GUESTS, Bench

ROUNDS = 10
_FIGURES = {"full_scans", "pages_scanned", "pages_shared", "pages_sharing"}
Kind = type[Policy]


@dataclass(frozen=True)
class Verdict:
    """A rule, and what a policy did against it; None: it keeps to it."""

    rule: str
    failure: str | None


class _Broken(Exception):  # noqa: N818 - a verdict, not an error
    """A rule was not kept to."""


def try_policy(kind: Kind, seed: int = 1) -> list[Verdict]:
    """Try every rule on hosts of their own; takes seconds. What a policy raises is a failure too."""
    return [Verdict(rule, failure(rule, kind, seed)) for rule in RULES]


def failure(rule: str, kind: Kind, seed: int = 1) -> str | None:
    """Try one rule. Returns what the policy did against it; None: it keeps to it."""
    try:
        RULES[rule](kind, seed)
    except _Broken as broken:
        return str(broken)
    except Exception as error:  # whatever a user's policy raises is what is to be told
        return f"{type(error).__name__}: {error}"
    return None


@contextmanager
def _bench(kind: Kind, seed: int) -> Iterator[Bench]:
    bench = Bench(kind, seed)
    try:
        yield bench
    finally:
        bench.host.close()


def _expect(condition: bool, text: str) -> None:
    if not condition:
        raise _Broken(text)


def _contents(kind: Kind, seed: int) -> None:
    with _bench(kind, seed) as bench:
        for number in range(ROUNDS):
            bench.work()
            if number % 3 == 2:
                wrong = bench.wrong()
                _expect(wrong == 0, f"after {number + 1} rounds {wrong} pages do not hold what their guests stored")
            bench.live()
        _expect(bench.wrong() == 0, "in the end pages do not hold what their guests stored")


def _consistent(kind: Kind, seed: int) -> None:
    with _bench(kind, seed) as bench:
        for _ in range(ROUNDS):
            bench.work()
            bench.policy.check()
            bench.host.check()
            bench.live()
            bench.policy.check()
            bench.host.check()


def _memory(kind: Kind, seed: int) -> None:
    with _bench(kind, seed) as bench:
        bench.work(12)
        bench.live()
        bench.work(2)
        bench.leave()
        bench.host.check()
        left = bench.host.frames_in_use()
        _expect(left == 0, f"{left} frames are still in use after every guest has gone and it was detached")


def _coming(kind: Kind, seed: int) -> None:
    with _bench(kind, seed) as bench:
        for number in range(GUESTS):
            bench.work(3)
            bench.replace(number)
            bench.work(6)
            bench.policy.check()
            bench.host.check()
        _expect(bench.wrong() == 0, "pages do not hold what their guests stored")


def _reproducible(kind: Kind, seed: int) -> None:
    outcomes = []
    for _ in range(2):
        with _bench(kind, seed) as bench:
            for _ in range(4):
                bench.work(9, 17)
                bench.live()
            outcomes.append((bench.policy.counters(), bench.policy.work_ns(), bench.saved()))
    names = ("counters", "bill", "savings")
    for name, first, second in zip(names, *outcomes, strict=True):
        _expect(first == second, f"two runs with the same seed have different {name}: {first} and {second}")


def _budget(kind: Kind, seed: int) -> None:
    with _bench(kind, seed) as bench:
        for pages in (0, 1, 5, 64):
            before = bench.policy.counters()["pages_scanned"]
            looked = bench.policy.scan(pages)
            counted = bench.policy.counters()["pages_scanned"] - before
            most = looked if not kind.keeps_budget else pages
            _expect(0 <= looked <= most, f"asked for {pages} pages, it says that it looked at {looked}")
            _expect(counted == looked, f"scan() says {looked} pages, pages_scanned says {counted}")


def _ceiling(kind: Kind, seed: int) -> None:
    with _bench(kind, seed) as bench:
        for _ in range(ROUNDS if not kind.below_page else 0):
            bench.work(20)
            saved, possible = bench.saved(), bench.possible()
            _expect(0 <= saved <= possible, f"it saves {saved} pages, where {possible} are possible")
            bench.live()


def _successor(kind: Kind, seed: int) -> None:
    with _bench(kind, seed) as bench:
        for number in range(3):
            bench.work()
            bench.take_over(seed + number)
            bench.work()
            bench.host.check()
            bench.live()
        _expect(bench.wrong() == 0, "pages do not hold what their guests stored")


def _figures(kind: Kind, seed: int) -> None:
    with _bench(kind, seed) as bench:
        bench.work()
        missing = sorted(_FIGURES - set(bench.policy.counters()))
        _expect(not missing, f"counters() has no {', '.join(missing)}")
        for knob in SCHEDULE:
            bench.policy.set(knob, "1")
            _expect(bench.policy.get(knob) == bench.policy.knobs()[knob] == 1, f"{knob} is not what was written")
        try:
            bench.policy.set("no_such_tunable", "1")
        except KnobError:
            return
        raise _Broken("it takes a tunable that it does not have; raise KnobError (Policy.set does)")


RULES: Mapping[str, Callable[[Kind, int], None]] = {
    "what guests read never changes": _contents,
    "its records and the host's are consistent": _consistent,
    "all memory comes back when guests have gone": _memory,
    "a guest can leave, and another can come": _coming,
    "the same seed does the same": _reproducible,
    "it looks at no more pages than it is given, and counts them": _budget,
    "whole pages: it never saves more than equal pages allow": _ceiling,
    "a new one can take over when it is killed": _successor,
    "counters and tunables are there": _figures,
}
