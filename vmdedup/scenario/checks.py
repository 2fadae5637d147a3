"""What must hold of a scenario: of any value, between its keys, and what guests say of their own parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from vmdedup.errors import UsageError
from vmdedup.guest.spec import MIN_PAGES
from vmdedup.guest.tables import OPTIONS, Parameters, keys_of, made, value_of
from vmdedup.guest.workloads import WORKLOADS
from vmdedup.late import load
from vmdedup.scenario.model import Event, GuestSection, Scenario
from vmdedup.scenario.policy import check_policy
from vmdedup.scenario.problems import Path, Problem
from vmdedup.shown import quoted, suggest
from vmdedup.units import PAGE_SIZE, format_duration, format_size

LONGEST: Final = 4096  # characters of a text; of a path, the kernel takes no more


def check_values(data: Mapping[str, Any]) -> list[Problem]:
    """The first value that is none: a number that is not finite or takes more than 64 bits, a text that is no path."""
    waiting: list[tuple[Path, Any]] = [((), data)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [((*path, key), below) for key, below in value.items()]
        elif isinstance(value, list):
            waiting += [((*path, number), below) for number, below in enumerate(value)]
        elif complaint := _complaint(value):
            return [Problem(path, complaint)]
    return []


def _complaint(value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is no number here; give one"
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return "the number takes more than 64 bits; give a smaller one"
    if isinstance(value, str) and len(value) > LONGEST:
        return f"the text has {len(value)} characters; give at most {LONGEST}"
    if isinstance(value, str) and "\0" in value:
        return "the text has a character NUL, which no name may have; leave it out"
    return ""


def check(scenario: Scenario, runs: bool = True) -> list[Problem]:
    """Everything that is wrong with a scenario whose keys and values are all acceptable by themselves.

    runs: whether a policy's own Python file is run.
    """
    problems = [*_check_times(scenario), *_check_swap(scenario)]
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
    if host.warm_up and scenario.clock != "lockstep":
        yield Problem(("host", "warm_up"), 'needs virtual time; set clock = "lockstep", or leave it out')
    if (host.guests_per_worker or 1) > 1 and scenario.clock != "lockstep":
        text = 'guests of one process need virtual time; set clock = "lockstep", or leave it out'
        yield Problem(("host", "guests_per_worker"), text)


def _check_swap(scenario: Scenario) -> Iterator[Problem]:
    swap = scenario.host.swap
    if scenario.host.pages == "fingerprints" and swap is not None and swap.kind != "disk":
        text = f'fingerprints cannot be compressed, which {swap.kind} does; swap to a disk, or set pages = "bytes"'
        yield Problem(("host", "swap", "kind"), text)
    if swap is not None and swap.pool is not None and swap.kind != "zswap":
        yield Problem(("host", "swap", "pool"), f"only zswap has a pool of its own; leave it out of {swap.kind}")


def _check_group(scenario: Scenario, group: GuestSection, path: Path) -> Iterator[Problem]:
    if group.from_image:
        yield from load("vmdedup.scenario.images:check_image")(group, path)
    for key in ("guest", "speed") if group.replay is None else ():
        if getattr(group, key) is not None:
            yield Problem((*path, key), "says how to replay, and nothing is replayed; give replay, or leave it out")
    # Images may be of any size.
    if not group.from_image and (group.memory % PAGE_SIZE or group.memory < MIN_PAGES * PAGE_SIZE):
        least = format_size(MIN_PAGES * PAGE_SIZE)
        text = f"{format_size(group.memory)} will not do; give at least {least}, in whole pages of 4KiB"
        yield Problem((*path, "memory"), text)
    if isinstance(group.node, int):
        yield from _check_node(scenario, group.node, (*path, "node"))
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


def _check_node(scenario: Scenario, node: int, path: Path) -> Iterator[Problem]:
    if node >= scenario.host.numa_nodes:
        yield Problem(path, f"the host has nodes 0 to {scenario.host.numa_nodes - 1}; give one of them")


def _check_events(scenario: Scenario, group: GuestSection, path: Path) -> Iterator[Problem]:
    for number, event in enumerate(group.events):
        place = (*path, "events", number)
        if (event.node is None) == (event.do == "move"):
            text = (
                "a guest moves to a NUMA node; give node"
                if event.do == "move"
                else "only 'move' has a node; leave it out"
            )
            yield Problem((*place, "do" if event.node is None else "node"), text)
        elif event.node is not None:
            yield from _check_node(scenario, event.node, (*place, "node"))
        yield from _check_target(group, event, place)
        if event.at >= scenario.duration:
            text = f"{format_duration(event.at)} is after the end of the run; give less than its duration"
            yield Problem((*place, "at"), text)
        if any(guest >= group.count for guest in event.guests or ()):
            text = f"the group has guests 0 to {group.count - 1}; give numbers of these"
            yield Problem((*place, "guests"), text)


def _check_target(group: GuestSection, event: Event, place: Path) -> Iterator[Problem]:
    if (event.target is None) == (event.do == "balloon"):
        text = "only 'balloon' has a target; leave it out"
        if event.target is None:
            text = "a balloon leaves the guest so much memory; give target"
        yield Problem((*place, "do" if event.target is None else "target"), text)
    if event.do == "balloon" and group.from_image:
        yield Problem((*place, "do"), "a guest from an image or recording has no balloon; leave the event out")


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
    return {name: getattr(group, name) for name in ("disk", "variant", "heap", "boot", "balloon", "parameters")}


def said_options(group: GuestSection) -> dict[str, Any]:
    """What a group says of the keys that guests declare."""
    return {name: value for name in OPTIONS if (value := getattr(group, name)) is not None}
