"""The guests of a scenario, one by one: what each is, when it starts, what happens to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count

from vmdedup.guest.diskspec import NO_DISK
from vmdedup.guest.seeds import split_seed
from vmdedup.guest.spec import GuestSpec
from vmdedup.guest.variant import Variant
from vmdedup.scenario.checks import OPTIONS, build, declared_value, start_of
from vmdedup.scenario.images import guest_names, image_spec
from vmdedup.scenario.model import GuestSection, Scenario
from vmdedup.units import PAGE_SIZE


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
    taken: set[str] = set()
    for group in scenario.guests:
        first, names = len(specs), guest_names(group)
        for number in range(group.count):
            name = _unused(names[number], taken)
            taken.add(name)
            specs.append(_spec(scenario, group, number, first, name))
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


def _unused(name: str, taken: set[str]) -> str:
    """The name, or where another guest has it (recorded names may be anything) the name and a number."""
    longer = (f"{name}-{number}" for number in count(2))
    return name if name not in taken else next(one for one in longer if one not in taken)


def _spec(scenario: Scenario, group: GuestSection, number: int, first: int, name: str) -> GuestSpec:
    image = image_spec(group, number)
    options = {name: getattr(group, name) for name in OPTIONS if getattr(group, name) is not None}
    return GuestSpec(
        name=name,
        memory_pages=group.memory // PAGE_SIZE,
        disk=build(group, "disk") if image is None else NO_DISK,
        variant=_variant(group, number),
        workload=group.workload,
        parameters=build(group, "parameters"),
        boot=build(group, "boot"),
        seed=split_seed(scenario.seed, group.name, number),
        heap=build(group, "heap"),
        mergeable=group.mergeable,
        domain=group.domain,
        node=(first + number) % scenario.host.numa_nodes if group.node == "spread" else int(group.node),
        image=image,
        **{name: declared_value(OPTIONS[name], value) for name, value in options.items()},
    )


def _variant(group: GuestSection, number: int) -> Variant:
    """The group's release, or one for each guest."""
    variant: Variant = build(group, "variant")
    if group.variants == "shared":
        return variant
    return replace(variant, seed=split_seed(variant.seed, group.name, number) >> 32)
