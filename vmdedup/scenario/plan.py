"""The guests of a scenario, one by one: what each is, when it starts, what happens to it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from vmdedup.guest.diskspec import open_disks
from vmdedup.guest.spec import GuestSpec
from vmdedup.guest.wanted import Wanted
from vmdedup.late import load
from vmdedup.scenario.checks import said_options, said_tables, start_of
from vmdedup.scenario.model import GuestSection, Scenario
from vmdedup.units import PAGE_SIZE


@dataclass(frozen=True)
class Action:
    """Something that is done to a guest. at: nanoseconds since the run began. do: start, pause, …

    node: to where. target: bytes that a balloon leaves.
    """

    at: int
    do: str
    guest: int
    node: int | None = None
    target: int | None = None


@dataclass(frozen=True)
class Plan:
    """specs and groups: by guest, in order of the scenario. actions: by time, then by guest."""

    specs: tuple[GuestSpec, ...]
    groups: tuple[str, ...]
    actions: tuple[Action, ...]


def plan(scenario: Scenario) -> Plan:
    """Every guest of a checked scenario, and everything that will be done to it."""
    guests: list[Wanted] = []
    actions: list[Action] = []
    taken: set[str] = set()
    for group in scenario.guests:
        first, names = len(guests), _names(group)
        for number in range(group.count):
            name = _unused(names[number], taken)
            taken.add(name)
            node = (first + number) % scenario.host.numa_nodes if group.node == "spread" else int(group.node)
            guests.append(_wanted(group, number, name, node, scenario.seed))
            actions.append(Action(start_of(group, number), "start", first + number))
        actions += _events(group, first)
    ordered = sorted(actions, key=lambda action: (action.at, action.guest))
    return Plan(tuple(guest.spec() for guest in guests), tuple(guest.group for guest in guests), tuple(ordered))


def check_disks(scenario: Scenario) -> None:
    """Open every disk of a scenario and let go of it again. Raises UsageError."""
    open_disks((spec.disk for spec in plan(scenario).specs), lambda note: None)


def _events(group: GuestSection, first: int) -> list[Action]:
    everybody = range(group.count)
    return [
        Action(event.at, event.do, first + number, event.node, event.target)
        for event in group.events
        for number in (everybody if event.guests is None else sorted(set(event.guests)))
    ]


def _names(group: GuestSection) -> list[str]:
    """The names of a group's guests, before it is seen whether others have them."""
    if group.replay is not None:
        names: list[str] = load("vmdedup.scenario.images:recorded_names")(group)
        return names
    return group.numbered(group.name)


def _unused(name: str, taken: set[str]) -> str:
    """The name, or where another guest has it (recorded names may be anything) the name and a number."""
    longer = (f"{name}-{number}" for number in count(2))
    return name if name not in taken else next(one for one in longer if one not in taken)


def _wanted(group: GuestSection, number: int, name: str, node: int, seed: int) -> Wanted:
    return Wanted(
        name=name,
        group=group.name,
        number=number,
        memory_pages=group.memory // PAGE_SIZE,
        workload=group.workload,
        tables=said_tables(group),
        options=said_options(group),
        seed=seed,
        has_own_release=group.variants == "own",
        huge_pages=group.huge_pages,
        mergeable=group.mergeable,
        domain=group.domain,
        node=node,
        image=load("vmdedup.scenario.images:image_spec")(group, number) if group.from_image else None,
    )
