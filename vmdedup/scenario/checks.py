"""What must hold between the keys of a scenario, and what guests say of their own parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from vmdedup.errors import UsageError
from vmdedup.guest.diskspec import DiskSpec
from vmdedup.guest.mixes import HeapMix
from vmdedup.guest.parameters import Parameter, parameters_of
from vmdedup.guest.spec import MIN_PAGES, GuestSpec
from vmdedup.guest.variant import Variant
from vmdedup.guest.workloads import WORKLOADS, workload_parameters
from vmdedup.scenario.images import check_image
from vmdedup.scenario.model import GuestSection, Scenario
from vmdedup.scenario.policy import check_policy
from vmdedup.scenario.problems import Path, Problem, suggest
from vmdedup.shown import quoted
from vmdedup.units import (
    MIB,
    PAGE_SIZE,
    SECOND_NS,
    format_duration,
    format_size,
    parse_duration,
    parse_share,
    parse_size,
)

Parameters = Mapping[str, Parameter]

OPTIONS: Parameters = parameters_of(GuestSpec)  # keys of a group that guest.spec declares


def check(scenario: Scenario, runs: bool = True) -> list[Problem]:
    """Everything that is wrong with a scenario whose keys and values are all acceptable by themselves.

    runs: whether a policy's own Python file is run.
    """
    problems = list(_check_times(scenario))
    knobs = scenario.ksm.tunables()
    if knobs.get("advisor_mode") == "scan-time" and "pages_to_scan" in knobs:
        text = "the advisor sets it (EINVAL); leave it out, or set advisor_mode to none"
        problems.append(Problem(("ksm", "pages_to_scan"), text))
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
    options = {name: value for name in OPTIONS if (value := getattr(group, name)) is not None}
    yield from _check_declared(options, OPTIONS, path)
    for name, declared in sections(group).items():
        problems = list(_check_declared(getattr(group, name), declared, (*path, name)))
        yield from problems or _check_whole(group, name, path)


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


def sections(group: GuestSection) -> dict[str, Parameters]:
    """The tables of a group whose keys are declared elsewhere."""
    path = Parameter("path", "/usr", "", "a directory, or an image file")
    image = Parameter("image", "", "", "the name of an image that is built: see vmdedup image list")
    return {
        "disk": {"path": path, "image": image, **parameters_of(DiskSpec)},
        "variant": parameters_of(Variant),
        "heap": parameters_of(HeapMix),
        "boot": workload_parameters("boot"),
        "parameters": workload_parameters(group.workload) if group.workload in WORKLOADS else {},
    }


def _check_declared(values: Mapping[str, Any], declared: Parameters, path: Path) -> Iterator[Problem]:
    for name, value in values.items():
        place = (*path, name)
        if name not in declared:
            yield Problem(place, f"unknown key; {suggest(name, declared)}")
            continue
        try:
            declared_value(declared[name], value)
        except UsageError as error:
            yield Problem(place, str(error))


def _check_whole(group: GuestSection, name: str, path: Path) -> Iterator[Problem]:
    """What a table's declaration has against its values together."""
    try:
        build(group, name)
    except UsageError as error:
        yield Problem((*path, name), str(error))


def build(group: GuestSection, name: str) -> Any:
    """The table of that name as what it describes: a DiskSpec, a Variant, a HeapMix, or parameters."""
    declared = sections(group)[name]
    values = {key: declared_value(declared[key], value) for key, value in getattr(group, name).items()}
    return _BUILDERS.get(name, dict)(**values)


def declared_value(parameter: Parameter, value: Any) -> Any:
    """A value as its declaration has it; text with a unit is read by that unit. Raises UsageError."""
    if isinstance(parameter.default, str) and not parameter.choices:
        if not isinstance(value, str) or not value:
            raise UsageError(f"{quoted(value)} is no text; give {parameter.meaning}")
        return value
    if isinstance(value, str) and parameter.unit in _READERS:
        value = _READERS[parameter.unit](value)
        value = int(value) if isinstance(parameter.default, int) and value == int(value) else value
    return parameter.checked(value)


_BUILDERS: Mapping[str, Callable[..., Any]] = {"disk": DiskSpec, "variant": Variant, "heap": HeapMix}
_READERS: Mapping[str, Callable[[str], float]] = {
    "share": parse_share,
    "MiB": lambda text: parse_size(text) / MIB,
    "MiB/s": lambda text: parse_size(text.removesuffix("/s")) / MIB,
    "s": lambda text: parse_duration(text) / SECOND_NS,
    "ms": lambda text: parse_duration(text) / 1_000_000,
}
