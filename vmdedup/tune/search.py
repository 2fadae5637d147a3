"""The search itself, by Optuna, whose only importer this is: what to try next, given what was tried.

Settings are asked for in batches of a fixed size, so that what is tried does not depend on how many runs go on at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final

from vmdedup.errors import EnvironmentLacksError
from vmdedup.tune.goal import Goal, is_complete, ksmd_percent, misses
from vmdedup.tune.knobs import Knob, Settings

BATCH: Final = 4  # runs asked for before any of them is told
_MISSES: Final = "misses"
Row = Mapping[str, Any]


def objectives(row: Row, goal: Goal | None) -> list[float]:
    """What is to be small: ksmd's share where there is a goal; else also what is not saved, and the time to 90 %.

    A run that failed is worse than all others; one that does not come to 90 % takes twice its length.
    """
    if not is_complete(row):
        return [1e9] * (1 if goal else 3)
    cpu = ksmd_percent(row)
    if goal:
        return [cpu]
    reached = row["seconds_to_90_percent"]
    return [-row["saved_mib"], 2 * row["seconds"] if reached is None else reached, cpu]


class Search:
    """Tries that follow from one seed and from what came of those before."""

    def __init__(
        self, knobs: Sequence[Knob], today: Settings, goal: Goal | None, limits: Mapping[str, float], seed: int
    ) -> None:
        """today: what is tried first. EnvironmentLacksError: Optuna is not installed."""
        optuna = _required()
        self.version = str(optuna.__version__)
        self._knobs, self._goal, self._limits = knobs, goal, limits
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what Optuna calls experimental
            constraints: Any = (lambda trial: trial.user_attrs[_MISSES]) if goal or limits else None
            sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True, constraints_func=constraints)
            self._study = optuna.create_study(sampler=sampler, directions=["minimize"] * (1 if goal else 3))
        self._study.enqueue_trial({knob.name: _value(knob, today[knob.name]) for knob in knobs})
        self._today = today
        self._asked: list[Any] = []

    def ask(self, number: int) -> list[dict[str, str]]:
        """So many settings to try, of which the very first are today's."""
        return [self._ask() for _ in range(number)]

    def _ask(self) -> dict[str, str]:
        first = not self._study.trials
        trial = self._study.ask()
        self._asked.append(trial)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # today's value may lie outside of the bounds
            found = {knob.name: str(_suggested(trial, knob)) for knob in self._knobs}
        return dict(self._today) if first else found

    def tell(self, row: Row) -> None:
        """What came of the earliest settings that nothing was told of."""
        trial = self._asked.pop(0)
        trial.set_user_attr(_MISSES, misses(row, self._goal, self._limits))
        self._study.tell(trial, objectives(row, self._goal))


def _value(knob: Knob, text: str) -> int | str:
    return text if knob.choices else min(max(int(text), knob.low), knob.high)


def _suggested(trial: Any, knob: Knob) -> Any:
    if knob.choices:
        return trial.suggest_categorical(knob.name, knob.choices)
    return trial.suggest_int(knob.name, knob.low, knob.high, log=True)


def _required() -> Any:
    try:
        import optuna
    except ImportError:
        raise EnvironmentLacksError("tune needs Optuna; install it: pip install 'vmdedup[tune]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
