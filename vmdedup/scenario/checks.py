"""What must hold between the keys of a scenario, and what guests say of their own parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vmdedup.errors import UsageError
from vmdedup.guest.spec import MIN_PAGES
from vmdedup.guest.tables import OPTIONS, Parameters, keys_of, made, value_of
from vmdedup.guest.workloads import WORKLOADS
from vmdedup.scenario.images import check_image
from vmdedup.scenario.model import GuestSection, Scenario
from vmdedup.scenario.policy import check_policy
from vmdedup.scenario.problems import Path, Problem
from vmdedup.shown import quoted, suggest
from vmdedup.units import PAGE_SIZE, format_duration, format_size


def check(scenario: Scenario, runs: bool = True) -> list[Problem]:
    """Everything that is wrong with a scenario whose keys and values are all acceptable by themselves.

    runs: whether a policy's own Python file is run.
    """
    problems = list(_check_times(scenario))
    knobs = scenario.ksm.tunables()
    if knobs.get("advisor_mode") == "scan-time" and "pages_to_scan" in knobs:
        text = "the advisor sets it (EINVAL); leave it out, or set advisor_mode to none"
        problems.append(Problem(("ksm", "pages_to_scan"), text))
    for name in knobs:
        if not scenario.ksm.profile.has(name):
            text = f"Linux {scenario.ksm.profile} has no such file (ENOENT); leave it out, or name a later kernel"
            problems.append(Problem(("ksm", name), text))
    problems += check_policy(scenario, runs)
    names = [group.name for group in scenario.guests]
    for number, group in enumerate(scenario.guests):
        path: Path = ("guests", number)
        if group.name in names[:number]:
            problems.append(
                Problem((*path, "name"), f"{quoted(group.name)} is used twice; give each group its own name")
            )
        problems += _check_group(scenario, group, path)
    return problems


def _check_times(scenario: Scenario) -> Iterator[Problem]:
    host = scenario.host
    if host.sample_interval % host.tick:
        text = f"is not a whole number of ticks ({format_duration(host.tick)}); give a multiple of it"
        yield Problem(("host", "sample_interval"), f"{format_duration(host.sample_interval)} {text}")
    if scenario.duration < host.tick:
        yield Problem(("duration",), f"is shorter than one tick ({format_duration(host.tick)}); give more")


def _check_group(scenario: Scenario, group: GuestSection, path: Path) -> Iterator[Problem]:
    yield from check_image(group, path)
    images = group.image is not None or group.replay is not None  # which may be of any size
    if not images and (group.memory % PAGE_SIZE or group.memory < MIN_PAGES * PAGE_SIZE):
        least = format_size(MIN_PAGES * PAGE_SIZE)
        text = f"{format_size(group.memory)} will not do; give at least {least}, in whole pages of 4KiB"
        yield Problem((*path, "memory"), text)
    if isinstance(group.node, int) and group.node >= scenario.host.numa_nodes:
        text = f"the host has nodes 0 to {scenario.host.numa_nodes - 1}; give one of them"
        yield Problem((*path, "node"), text)
    if start_of(group, group.count - 1) >= scenario.duration:
        text = f"the last guest would start after {format_duration(scenario.duration)}, the end of the run"
        key = "start_at" if start_of(group, 0) >= scenario.duration else "delay"
        yield Problem((*path, key), f"{text}; give less, or lengthen the duration")
    if group.workload not in WORKLOADS:
        yield Problem(
            (*path, "workload"), f"unknown workload {quoted(group.workload)}; {suggest(group.workload, WORKLOADS)}"
        )
    yield from _check_events(scenario, group, path)
    yield from _check_declared(said_options(group), OPTIONS, path)
    for name, said in said_tables(group).items():
        problems = list(_check_declared(said, keys_of(name, group.workload), (*path, name))) if said else []
        yield from problems or _check_whole(name, group.workload, said, path)


def _check_events(scenario: Scenario, group: GuestSection, path: Path) -> Iterator[Problem]:
    for number, event in enumerate(group.events):
        place = (*path, "events", number)
        if event.at >= scenario.duration:
            text = f"{format_duration(event.at)} is after the end of the run; give less than its duration"
            yield Problem((*place, "at"), text)
        if any(guest >= group.count for guest in event.guests or ()):
            text = f"the group has guests 0 to {group.count - 1}; give numbers of these"
            yield Problem((*place, "guests"), text)


def start_of(group: GuestSection, number: int) -> int:
    """Nanoseconds after the run's start at which guest `number` of the group starts."""
    return group.start_at + (number * group.delay if group.start == "one_after_another" else 0)


def _check_declared(values: Mapping[str, Any], declared: Parameters, path: Path) -> Iterator[Problem]:
    for name, value in values.items():
        place = (*path, name)
        if name not in declared:
            yield Problem(place, f"unknown key; {suggest(name, declared)}")
            continue
        try:
            value_of(declared[name], value)
        except UsageError as error:
            yield Problem(place, str(error))


def _check_whole(name: str, workload: str, said: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    """What a table's declaration has against its values together."""
    try:
        made(name, workload, said)
    except UsageError as error:
        yield Problem((*path, name), str(error))


def said_tables(group: GuestSection) -> dict[str, Mapping[str, Any]]:
    """What a group says in the tables that guests declare."""
    return {name: getattr(group, name) for name in ("disk", "variant", "heap", "boot", "parameters")}


def said_options(group: GuestSection) -> dict[str, Any]:
    """What a group says of the keys that guests declare."""
    return {name: value for name in OPTIONS if (value := getattr(group, name)) is not None}
