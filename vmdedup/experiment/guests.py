"""The guests of a scenario, one by one: what each is, when it starts, what happens to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vmdedup.experiment.checks import OPTIONS, declared_value, sections, start_of
from vmdedup.experiment.scenario import PAGE_SIZE, GuestSection, Scenario
from vmdedup.guest.diskspec import DiskSpec
from vmdedup.guest.mixes import HeapMix
from vmdedup.guest.seeds import split_seed
from vmdedup.guest.spec import GuestSpec
from vmdedup.guest.variant import Variant


@dataclass(frozen=True)
class Action:
    """Something that is done to a guest. at: nanoseconds since the run began. do: start, pause, …"""

    at: int
    do: str
    guest: int


@dataclass(frozen=True)
class Plan:
    """specs and groups: by guest, in order of the scenario. actions: by time, then by guest."""

    specs: tuple[GuestSpec, ...]
    groups: tuple[str, ...]
    actions: tuple[Action, ...]


def plan(scenario: Scenario) -> Plan:
    """Every guest of a checked scenario, and everything that will be done to it."""
    specs: list[GuestSpec] = []
    groups: list[str] = []
    actions: list[Action] = []
    for group in scenario.guests:
        first = len(specs)
        for number in range(group.count):
            specs.append(_spec(scenario, group, number, first))
            groups.append(group.name)
            actions.append(Action(start_of(group, number), "start", first + number))
        actions += _events(group, first)
    return Plan(tuple(specs), tuple(groups), tuple(sorted(actions, key=lambda a: (a.at, a.guest))))


def _events(group: GuestSection, first: int) -> list[Action]:
    everybody = range(group.count)
    return [
        Action(event.at, event.do, first + number)
        for event in group.events
        for number in (everybody if event.guests is None else sorted(set(event.guests)))
    ]


def _spec(scenario: Scenario, group: GuestSection, number: int, first: int) -> GuestSpec:
    values = {name: _values(group, name) for name in sections(group)}
    variant = values["variant"]
    if group.variants == "own":
        variant["seed"] = split_seed(variant.get("seed", 0), group.name, number) >> 32
    options = {name: declared_value(p, getattr(group, name)) for name, p in OPTIONS.items() if _said(group, name)}
    return GuestSpec(
        name=f"{group.name}-{number}" if group.count > 1 else group.name,
        memory_pages=group.memory // PAGE_SIZE,
        disk=DiskSpec(**values["disk"]),
        variant=Variant(**variant),
        workload=group.workload,
        parameters=values["parameters"],
        boot=values["boot"],
        seed=split_seed(scenario.seed, group.name, number),
        heap=HeapMix(**values["heap"]),
        node=(first + number) % scenario.host.numa_nodes if group.node == "spread" else int(group.node),
        **options,
    )


def _said(group: GuestSection, name: str) -> bool:
    return getattr(group, name) is not None


def _values(group: GuestSection, section: str) -> dict[str, Any]:
    declared = sections(group)[section]
    return {name: declared_value(declared[name], value) for name, value in getattr(group, section).items()}
