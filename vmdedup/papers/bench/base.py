"""What an experiment is, and what it is given: a bench on which scenarios run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import HostError, ScenarioError
from vmdedup.papers.bench.published import published_figures
from vmdedup.papers.bench.verdict import Row, judge, row_of
from vmdedup.result.published import Published
from vmdedup.result.run import Result
from vmdedup.run.measure.rows import Row as Sample
from vmdedup.run.run import EXHAUSTED, run_scenario
from vmdedup.scenario.checks import check
from vmdedup.scenario.model import Scenario, validate

Say = Callable[[str], None]
PAPER, POSSIBLE = "paper", "possible"  # kinds of curves


@dataclass(frozen=True)
class Curve:
    """A line of points for the picture, or bars where x is words. No x: the only y is a level all the way.

    panel: which of the pictures beside each other it is in. kind: "" for ours, PAPER, POSSIBLE; those have the label of
    what they belong to.
    """

    label: str
    x: Sequence[float] | Sequence[str]
    y: Sequence[float]
    panel: str = ""
    kind: str = ""

    def document(self) -> dict[str, Any]:
        """The curve as --json has it: six digits, which no picture shows."""
        named = {"label": self.label, "panel": self.panel, "kind": self.kind}
        return named | {"x": [_digits(value) for value in self.x], "y": [_digits(value) for value in self.y]}


def _digits(value: float | str) -> float | str:
    return value if isinstance(value, str) else float(f"{value:.6g}")


@dataclass(frozen=True)
class Finding:
    """What an experiment found with one seed. axes: what x and y of the curves are. note: what else it has come to.

    log: axes that go by powers of ten, "x" or nothing.
    """

    rows: Sequence[Row]
    note: str = ""
    axes: tuple[str, str] = ("", "")
    curves: Sequence[Curve] = ()
    log: str = ""

    def document(self) -> dict[str, Any]:
        """All of it in plain data."""
        return {
            "rows": [row.plain() for row in self.rows],
            "note": self.note,
            "axes": list(self.axes),
            "log": self.log,
            "curves": [curve.document() for curve in self.curves],
        }


class _Progress:
    """A watcher that tells who waits what is being done."""

    def __init__(self, say: Say, name: str) -> None:
        self._say, self._name = say, name

    def sample(self, row: Sample) -> None:
        """A new row of the series."""
        self._say(f"{self._name}, {row['time_s']:.0f} s")

    def event(self, text: str) -> None:
        """What happens in a run is in its result."""


@dataclass(frozen=True, eq=False)
class Dumped:
    """What memory dumps hold. names: of the dumps; pages: uint8[n, 4096], one of them of zeros; zeros: further ones."""

    names: Sequence[str]
    pages: NDArray[np.uint8]
    zeros: int


@dataclass(frozen=True)
class Bench:
    """Where experiments run. quick: smaller, on generated disks only; say: progress; dumped: in place of our guests.

    seed: of everything that is drawn by lot, in guests and in policies.
    """

    quick: bool = False
    say: Say = field(default=lambda text: None)
    dumped: Dumped | None = None
    seed: int = 1

    def seeded(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """A scenario's data with the bench's seed."""
        return {**data, "seed": self.seed}

    def run(self, data: Mapping[str, Any]) -> Result:
        """Run a scenario given as its data, with the bench's seed.

        ScenarioError: it is none. HostError: its host's memory ran out.
        """
        scenario = scenario_of(self.seeded(data))
        label = f"{scenario.name}: {Path(scenario.policy.name).stem}"
        self.say(label)
        result = run_scenario(scenario, _Progress(self.say, label), logging.NullHandler())
        if result.run["ended"] == EXHAUSTED:
            raise HostError(f"{label}: {result.run['events'][-1]['text']}")
        return result


def scenario_of(data: Mapping[str, Any]) -> Scenario:
    """The scenario that data describe. ScenarioError: what is wrong with them."""
    scenario, problems = validate(data)
    if scenario is not None:
        problems = check(scenario)
    if scenario is None or problems:
        raise ScenarioError("; ".join(f"{problem.key}: {problem.text}" for problem in problems))
    return scenario


@dataclass(frozen=True)
class Experiment:
    """A published experiment. stand_in: our workload in place of the paper's, and why that is fair.

    takes_dumps: whether it can do without our guests, given dumps of others' memory.
    """

    name: str
    title: str
    published: str
    stand_in: str
    measure: Callable[[Bench, Published], Finding]
    takes_dumps: bool = False

    def run(self, bench: Bench, seeds: int = 1) -> dict[str, Any]:
        """Run it with so many seeds, from the bench's own on. Returns what --json prints of it."""
        return self.document([self.turn(_turn(bench, number, seeds)) for number in range(seeds)], bench.dumped)

    def turn(self, bench: Bench) -> dict[str, Any]:
        """Run it with one seed. Returns what was found as a document, for document()."""
        return self.measure(bench, published_figures(self.published)).document()

    def document(self, turns: Sequence[Mapping[str, Any]], dumped: Dumped | None = None) -> dict[str, Any]:
        """What --json prints of the turns of all seeds. Remarks and curves are of the first."""
        published, first = published_figures(self.published), turns[0]
        return {
            "name": self.name,
            "title": self.title,
            "source": published.source,
            "certainty": published.certainty,
            "stand_in": self.stand_in if dumped is None else _in_place(dumped),
            "note": first["note"],
            "rows": [row.document() for row in judge([[row_of(row) for row in turn["rows"]] for turn in turns])],
            **{name: first[name] for name in ("axes", "log", "curves")},
        }


def _turn(bench: Bench, number: int, seeds: int) -> Bench:
    """The bench with its next seed."""
    told = f"seed {number + 1} of {seeds}, " if seeds > 1 else ""
    return replace(bench, seed=bench.seed + number, say=lambda text: bench.say(f"{told}{text}"))


def _in_place(dumped: Dumped) -> str:
    return f"Memory dumps in place of the paper's workload: {', '.join(dumped.names)}."
