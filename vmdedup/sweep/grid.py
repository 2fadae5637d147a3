"""The runs of a sweep: every combination of the axes' values, or a sample of them, each with every seed."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import product
from math import prod
from typing import Any, Final

import vmdedup
from vmdedup.errors import UsageError
from vmdedup.scenario.load import find_source, load_scenario
from vmdedup.scenario.model import Scenario
from vmdedup.scenario.overrides import Overrides
from vmdedup.scenario.policy import is_own_file
from vmdedup.sweep.axes import Axis, Values, is_of, overrides

MOST_RUNS: Final = 50_000
SCHEMA_VERSION: Final = 1


@dataclass(frozen=True)
class Task:
    """One run: its place in the sweep, from 0 on, and what it has of each axis."""

    number: int
    values: Values
    seed: int


class Grid:
    """All runs of a sweep, in their order: the first axis changes slowest, seeds fastest."""

    def __init__(
        self, scenario: str, axes: Sequence[Axis], seeds: int | None = None, sample: int | None = None
    ) -> None:
        """scenario: name or file. seeds: how many, from the scenario's on. sample: so many combinations, by its seed.

        UsageError: too many runs, or a value that will not do beside the first of all other axes.
        """
        # What it names beside itself is found from any folder, also by others.
        is_file = scenario.endswith(".toml") or "/" in scenario
        self.scenario = os.path.abspath(scenario) if is_file else scenario
        self.axes, self.sample = list(axes), sample
        self.base = load_scenario(scenario)
        self.seeds = self._seeds(seeds)
        if sample is None and self._size * len(self.seeds) > MOST_RUNS:
            runs = self._size * len(self.seeds)
            raise UsageError(f"{runs:,} runs are too many ({MOST_RUNS:,} at most); take a part with --sample")
        many = any(axis.name == "policy" and len(axis.values) > 1 for axis in self.axes)
        prices = None if self.base.ksm.prices else "built-in"  # what this host was calibrated to is no other's
        self._like = Overrides(prices=prices, costs="operations" if many else None)
        self._try_values()
        points = self._points()
        self.tasks = [
            Task(number, values, seed)
            for number, (values, seed) in enumerate((values, seed) for values in points for seed in self.seeds)
        ]

    def _seeds(self, seeds: int | None) -> list[int]:
        said = next((axis for axis in self.axes if axis.name == "seed"), None)
        if said is None:
            return [self.base.seed + number for number in range(seeds or 1)]
        if seeds is not None:
            raise UsageError("--seeds and --vary seed=… do not go together; leave one out")
        self.axes.remove(said)
        if bad := [value for value in said.values if not value.isdecimal() or len(value) > 18]:
            raise UsageError(f"--vary seed={bad[0]}: seeds are whole numbers")
        return list(map(int, said.values))

    @property
    def _size(self) -> int:
        return prod(len(axis.values) for axis in self.axes)

    def _points(self) -> list[Values]:
        """Combinations, each once: where an axis says nothing to a run's policy, its first value stands for all."""
        if self.sample is None:
            return list(self._all())
        if self._size <= MOST_RUNS:
            every = list(self._all())
            chosen = self._random().sample(range(len(every)), min(self.sample, len(every)))
            return [every[number] for number in sorted(chosen)]
        if self.sample * len(self.seeds) > MOST_RUNS:
            raise UsageError(f"--sample {self.sample} with {len(self.seeds)} seeds: at most {MOST_RUNS:,} runs")
        numbers = sorted(self._random().sample(range(self._size), self.sample))
        return list({tuple(point.items()): point for point in map(self._nth, numbers)}.values())

    def _random(self) -> random.Random:
        return random.Random(self.base.seed)

    def _all(self) -> Iterator[Values]:
        for chosen in product(*(axis.values for axis in self.axes)):
            values = dict(zip((axis.name for axis in self.axes), chosen, strict=True))
            policy = self._policy(values)
            mute = [axis for axis in self.axes if not is_of(axis, policy)]
            if all(values[axis.name] == axis.values[0] for axis in mute):
                yield {**values, **dict.fromkeys(axis.name for axis in mute)}

    def _nth(self, number: int) -> Values:
        """One of so many combinations that they are not all made."""
        values: dict[str, str | None] = {}
        for axis in reversed(self.axes):
            number, at = divmod(number, len(axis.values))
            values[axis.name] = axis.values[at]
        policy = self._policy(values)
        return {axis.name: values[axis.name] if is_of(axis, policy) else None for axis in self.axes}

    def _policy(self, values: Values) -> str:
        name = values.get("policy") or self.base.policy.name
        return os.path.abspath(name) if is_own_file(name) else name

    def _try_values(self) -> None:
        """Load the scenario with each value once, so that most of what is wrong is found before anything runs."""
        first: dict[str, str | None] = {axis.name: axis.values[0] for axis in self.axes}
        self._try(first, first)
        for axis in self.axes:
            its = next((name for name in self.policies() if is_of(axis, name)), None)
            if its is None:
                raise UsageError(f"--vary {axis.name}: no run has the policy {axis.label!r}; add --vary policy=…")
            if axis.label and "policy" in first:
                first = first | {"policy": its}
            for value in axis.values:
                self._try(first | {axis.name: value}, {axis.name: value})

    def _try(self, values: Values, said: Values) -> None:
        """Load it once. said: what is told of it."""
        try:
            self.load(Task(0, self._heard(values), self.seeds[0]))
        except UsageError as error:
            flag, colon, text = str(error).partition(": ")
            reason = text if colon and flag.startswith("--") else str(error)
            flags = " ".join(f"--vary {name}={value}" for name, value in said.items())
            raise UsageError(f"{flags}: {reason}" if flags else str(error)) from None

    def policies(self) -> Sequence[str]:
        """Who scans in some run."""
        return next((axis.values for axis in self.axes if axis.name == "policy"), (self.base.policy.name,))

    def _heard(self, values: Values) -> Values:
        policy = self._policy(values)
        return {axis.name: values[axis.name] if is_of(axis, policy) else None for axis in self.axes}

    def load(self, task: Task) -> Scenario:
        """The scenario of one run. UsageError: its values do not go together."""
        changed = overrides(task.values, task.seed, self._policy(task.values), self._like)
        if "prices" in task.values:
            changed = replace(changed, prices=task.values["prices"])
        if changed.policy is not None:
            changed = replace(changed, policy=self._policy(task.values))
        return load_scenario(self.scenario, changed)

    def document(self) -> dict[str, Any]:
        """What a sweep is: whose rows can stand in one table."""
        text = find_source(self.scenario).text
        return {
            "schema_version": SCHEMA_VERSION,
            "vmdedup": vmdedup.__version__,
            "scenario": self.base.name,
            "scenario_digest": blake2b(text.encode(), digest_size=16).hexdigest(),
            "axes": [{"name": axis.name, "values": list(axis.values)} for axis in self.axes],
            "seeds": self.seeds,
            "sample": self.sample,
            "runs": len(self.tasks),
        }


def cells(task: Task, axes: Sequence[Axis]) -> dict[str, Any]:
    """A run's number, values and seed, as a row has them: numbers where all values of an axis are numbers."""
    return {"run": task.number, **{axis.name: _typed(axis, task.values) for axis in axes}, "seed": task.seed}


def _typed(axis: Axis, values: Mapping[str, str | None]) -> int | float | str | None:
    value = values[axis.name]
    return value if value is None else axis.kind(value)
