"""A policy against exercises. Whoever changes what a process reads gets nothing for that exercise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vmdedup.grading.engine import PolicyEngine
from vmdedup.grading.exercise import Exercise
from vmdedup.host.layout import ZERO
from vmdedup.policy.base import Policy
from vmdedup.policy.none import NoPolicy
from vmdedup.replay.emulated import EmulatedMachine
from vmdedup.replay.mapped import Mapped
from vmdedup.replay.play import play

SEED = 1


@dataclass(frozen=True)
class Grade:
    """What a policy got for an exercise. failure: why it got nothing at all. rules: each with whether it holds."""

    exercise: Exercise
    got: int
    rules: tuple[tuple[str, int, bool], ...]
    failure: str | None = None

    def document(self) -> dict[str, Any]:
        """As it is shown."""
        rules = [{"rule": text, "points": points, "holds": holds} for text, points, holds in self.rules]
        name, of = self.exercise.name, self.exercise.points
        return {"exercise": name, "got": self.got, "points": of, "rules": rules, "failure": self.failure}


def grade(kind: type[Policy], given: Sequence[Exercise]) -> Iterator[Grade]:
    """Each exercise in turn. What the policy raises costs it that exercise, and no other."""
    for exercise in given:
        try:
            figures, digests = _play(kind, exercise)
            plain, wanted = _play(NoPolicy, exercise)
        except Exception as error:  # whatever a student's policy raises is what is to be told
            yield Grade(exercise, 0, (), f"{type(error).__name__}: {error}")
            continue
        if digests != wanted:
            wrong = ", ".join(name for name in wanted if digests.get(name) != wanted[name])
            yield Grade(exercise, 0, (), f"pages do not hold what was stored: {wrong}")
            continue
        figures["saved"] -= plain["saved"]  # what forks share anyway
        rules = tuple((rule.text, rule.points, rule.holds(figures)) for rule in exercise.rules)
        yield Grade(exercise, sum(points for _, points, holds in rules if holds), rules)


def _play(kind: type[Policy], exercise: Exercise) -> tuple[dict[str, int], dict[str, str]]:
    """Figures at the end, and what each process reads then."""
    with EmulatedMachine(exercise.script, ksmd=lambda host, _: PolicyEngine(kind(host, SEED))) as machine:
        for _ in play(exercise.script, machine):
            pass
        machine.ksmd.check()
        figures = {"saved": _saved(machine), "scanned": machine.ksmd.counters()["pages_scanned"]}
        return figures, machine.digest()


def _saved(machine: EmulatedMachine) -> int:
    """Pages with content, less the frames behind them; a zero page that was put there has none."""
    pages = [Mapped(memory) for memory in machine.spaces().values()]
    own = np.concatenate([np.zeros(0, np.int64), *(mapped.frames[mapped.own] for mapped in pages)])
    placed = sum(int(np.count_nonzero(mapped.present & ((mapped.entries & ZERO) != 0))) for mapped in pages)
    return placed + len(own) - len(np.unique(own))
