"""The runs of a search: each setting written into the scenario, made by processes of this machine, kept as a row."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import vmdedup
from vmdedup.errors import UsageError
from vmdedup.result.sweep import row_of
from vmdedup.scenario.load import find_source, load_scenario
from vmdedup.scenario.model import Scenario
from vmdedup.scenario.overrides import Overrides
from vmdedup.sweep.course import Places
from vmdedup.tune.goal import Goal
from vmdedup.tune.knobs import POLICY, Knob, Settings

Row = Mapping[str, Any]


class Runs:
    """Scenarios by settings, and rows of their runs by number."""

    def __init__(self, scenario: str, knobs: Sequence[Knob], goal: Goal | None, seed: int | None) -> None:
        """scenario: name or file. goal: says how long runs last. seed: of runs; None: the scenario's."""
        is_file = scenario.endswith(".toml") or "/" in scenario
        self.scenario = os.path.abspath(scenario) if is_file else scenario
        self.base = load_scenario(scenario)
        self.seed = self.base.seed if seed is None else seed
        self._knobs, self._duration = knobs, None if goal is None else goal.duration

    def load(self, settings: Settings) -> Scenario:
        """The scenario with these settings. Another policy than KSM steers as it ships. UsageError: they do not go."""
        policy = settings.get(POLICY, "ksm")
        knobs = [f"{name}={value}" for name, value in settings.items() if name != POLICY] if policy == "ksm" else []
        many = any(knob.name == POLICY for knob in self._knobs)
        changes = Overrides(
            seed=self.seed,
            duration=self._duration,
            knobs=knobs,
            policy=policy if many else None,
            prices=None if self.base.ksm.prices else "built-in",
            costs="operations" if many else None,
        )
        return load_scenario(self.scenario, changes)

    def document(self, wanted: Mapping[str, Any], version: str) -> dict[str, Any]:
        """What a search is: whose rows can stand in one table. version: of Optuna."""
        text = find_source(self.scenario).text
        return {
            "vmdedup": vmdedup.__version__,
            "optuna": version,
            "scenario": self.base.name,
            "scenario_digest": blake2b(text.encode(), digest_size=16).hexdigest(),
            "seed": self.seed,
            **wanted,
        }

    def make(
        self,
        places: Places,
        done: Mapping[int, Row],
        keep: Callable[[Row], None],
        first: int,
        asked: Sequence[Settings],
    ) -> list[Row]:
        """Rows of settings that are asked for, in their order, numbered from first on; those that are done stay."""
        _require_same(done, first, asked)
        going = {
            number: places.submit(pickle.dumps(self.load(settings)))
            for number, settings in enumerate(asked, first)
            if number not in done
        }
        rows: list[Row] = []
        for number, settings in enumerate(asked, first):
            if number in done:
                rows.append(done[number])
                continue
            cells = {"run": number, **settings, "seed": self.seed}
            row = row_of(cells, places.answer(going[number]))
            keep(row)
            rows.append(row)
        return rows


def _require_same(done: Mapping[int, Row], first: int, asked: Sequence[Settings]) -> None:
    """UsageError: what is done is of other settings than this search asks for."""
    for number, settings in enumerate(asked, first):
        if number in done and any(done[number][name] != value for name, value in settings.items()):
            raise UsageError(f"run {number} that is kept there has other settings; name another directory with --keep")
