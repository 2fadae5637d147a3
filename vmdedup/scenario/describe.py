"""Scenarios in a line of words."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator

from vmdedup.guest.workloads import WORKLOADS, workload_class, workload_parameters
from vmdedup.scenario.load import DEFAULT, builtin_names, find_source
from vmdedup.scenario.model import GuestSection, Scenario
from vmdedup.units import format_duration, format_size


def describe(scenario: Scenario) -> str:
    """What a scenario would run: guests, time, seed."""
    groups = ", ".join(_group(group) for group in scenario.guests)
    time = f"{format_duration(scenario.duration)} by the {scenario.clock} clock"
    policy = "" if scenario.policy.is_plain else f", under {scenario.policy.name}"
    memory = scenario.host.memory
    host = f" on a host of {format_size(memory)}" if memory is not None else ""
    return f"{groups}{host}; {time}, seed {scenario.seed}{policy}"


def describe_builtin() -> Iterator[str]:
    """A line for each scenario that comes with the program."""
    names = builtin_names()
    width = max(map(len, names))
    for name in names:
        title = tomllib.loads(find_source(name).text).get("title", "")
        yield f"{name:<{width}}  {title}{' (default)' if name == DEFAULT else ''}"


def describe_workloads() -> Iterator[str]:
    """Each workload, and below it a line for each of its parameters."""
    for name in WORKLOADS:
        summary = (sys.modules[workload_class(name).__module__].__doc__ or "").splitlines()[0].partition(": ")[2]
        yield f"{name}: {summary}"
        for parameter in workload_parameters(name).values():
            unit = f" {parameter.unit}" if parameter.unit else ""
            value = f"{str(parameter.default).lower()}{unit}"
            yield f"  {parameter.name:<18} {value:<12} {parameter.meaning}"


def _group(group: GuestSection) -> str:
    what = group.workload if group.source is None else " of ".join(group.source)
    return f"{group.count} × {format_size(group.memory)} {what} ({group.name})"
