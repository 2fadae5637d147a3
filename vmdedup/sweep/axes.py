"""What varies in a sweep, as `vmdedup sweep --vary NAME=VALUE,…` names it, and how it is written into the scenario.

pages_to_scan=100,1000,5000     a tunable of KSM
guests=8..64:8                  from, to and step (1 unless it is said): 8, 16, … 64
policy=ksm,uksm                 who scans; uksm.NAME=… a tunable of that policy, for its runs alone
means=ksm; reporting; ksm+zram  other means against too little memory, as `vmdedup run --vary` has them
memory, workload, duration, kernel, prices, budget, seed: as the options of `vmdedup run`
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from vmdedup.errors import UsageError
from vmdedup.ksm.sysfs import TUNABLES
from vmdedup.policy.table import policy_label
from vmdedup.scenario.alternatives import alternatives
from vmdedup.scenario.overrides import Overrides
from vmdedup.shown import quoted, suggest

MEANS: Final = "means"
OPTIONS: Final = ("guests", "memory", "workload", "duration", "kernel", "prices", "policy", "budget", "seed", MEANS)
MOST_VALUES: Final = 100_000
Values = Mapping[str, str | None]  # by axis; None: nothing is written for it
_RANGE: Final = re.compile(r"(\d+)\.\.(\d+)(?::(\d+))?")


@dataclass(frozen=True)
class Axis:
    """One thing that varies, and the values that it takes, as they were written."""

    name: str
    values: tuple[str, ...]

    @property
    def label(self) -> str:
        """Of a policy's tunable, the policy; else nothing."""
        return self.name.rpartition(".")[0]

    @property
    def kind(self) -> type[int] | type[float] | type[str]:
        """What its values are in a table: whole numbers, numbers, or texts, of which 6.10 is another than 6.1."""
        if self.name in OPTIONS and self.name != "guests":
            return str
        if all(value.isdecimal() and len(value) < 19 for value in self.values):
            return int
        try:
            return float if all(isfinite(float(value)) for value in self.values) else str
        except ValueError:
            return str


def parse_axes(texts: Sequence[str]) -> list[Axis]:
    """The axes of all --vary. UsageError: one is none, has a value twice, or is there twice."""
    axes = [_axis(text) for text in texts]
    names = [axis.name for axis in axes]
    if twice := [name for number, name in enumerate(names) if name in names[:number]]:
        raise UsageError(f"--vary names {quoted(twice[0])} twice; write all its values behind one")
    return axes


def _axis(text: str) -> Axis:
    name, equals, said = (part.strip() for part in text.partition("="))
    if not name or not equals or not said:
        raise UsageError(f"--vary {quoted(text)} is not NAME=VALUE,…; write for example --vary pages_to_scan=100,1000")
    if name not in OPTIONS and name not in TUNABLES and "." not in name:
        raise UsageError(f"--vary: nothing is called {quoted(name)}; {suggest(name, [*OPTIONS, *TUNABLES])}")
    pieces = [piece.strip() for piece in said.split(";" if name == MEANS else ",")]
    if "" in pieces:
        raise UsageError(f"--vary {quoted(text)} has an empty value; leave out what is too much")
    values = [value for piece in pieces for value in _values(name, piece)]
    if len(set(values)) < len(values):
        twice = next(value for number, value in enumerate(values) if value in values[:number])
        raise UsageError(f"--vary {name} has {quoted(twice)} twice; leave one out")
    return Axis(name, tuple(values))


def _values(name: str, piece: str) -> Iterator[str]:
    """A value, or all of a range."""
    found = _RANGE.fullmatch(piece)
    if found is None:
        yield piece
        return
    first, last, step = int(found[1]), int(found[2]), int(found[3] or 1)
    if step < 1 or last < first or (last - first) // step >= MOST_VALUES:
        raise UsageError(f"--vary {name}={piece} is no range; write FROM..TO:STEP, as in 8..64:8")
    yield from map(str, range(first, last + 1, step))


def overrides(values: Values, seed: int, policy: str, like: Overrides) -> Overrides:
    """What one run's values change in the scenario. policy: of the run. like: what is changed in all runs.

    UsageError: a value that will not do.
    """
    fields: dict[str, Any] = {name: like.__dict__[name] for name in ("prices", "costs")}
    knobs, theirs = [], []
    for name, value in values.items():
        if value is None or name == "seed":
            continue
        if name == MEANS:
            fields["alternative"] = alternatives(value)[0]
        elif name == "guests":
            fields[name] = _whole(value)
        elif name in OPTIONS:
            fields[name] = value
        elif "." in name:
            theirs.append(f"{name.rpartition('.')[2]}={value}")
        else:
            knobs.append(f"{name}={value}")
    if theirs:
        fields["policy"] = policy
    return Overrides(**fields, seed=seed, knobs=knobs, policy_knobs=theirs)


def _whole(value: str) -> int:
    if not value.isdecimal() or len(value) > 9:
        raise UsageError(f"{quoted(value)} is no number of guests; write a whole number")
    return int(value)


def is_of(axis: Axis, policy: str) -> bool:
    """Whether an axis says something to runs of a policy: tunables of others do not."""
    return not axis.label or axis.label == policy_label(policy)
