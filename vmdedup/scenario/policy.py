"""The [policy] section of a scenario: who scans in the place of ksmd, and with which tunables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from vmdedup.errors import KnobError, UsageError
from vmdedup.ksm.sysfs import TUNABLES, as_written
from vmdedup.scenario.model import Scenario, accepted
from vmdedup.scenario.problems import Path, Problem
from vmdedup.shown import quoted, suggest

if TYPE_CHECKING:
    from vmdedup.policy.base import Policy

_SCHEDULE = ("pages_to_scan", "sleep_millisecs")  # of [ksm]: the scan budget of whichever policy scans


def policy_kind(scenario: Scenario) -> type[Policy]:
    """The policy's class. Raises UsageError with the remedy."""
    # Loading policies loads Numba: not before somebody wants one.
    from vmdedup.policy.table import load_policy

    return load_policy(scenario.policy.name)


def inherited(scenario: Scenario) -> dict[str, str]:
    """What the [ksm] section says to the scenario's policy, in the order to write it.

    All of it to ksmd; to another policy the schedule, and those tunables that it has from KSM.
    """
    said = scenario.ksm.tunables()
    if scenario.policy.is_plain:
        return said
    theirs = policy_kind(scenario).all_tunables()
    return {name: text for name, text in said.items() if name in _SCHEDULE or theirs.get(name) == TUNABLES[name]}


def explicit(scenario: Scenario) -> dict[str, str]:
    """What [policy.tunables] says, as text for Policy.set."""
    return {name: as_written(_text(value)) for name, value in scenario.policy.tunables.items()}


def is_own_file(name: str) -> bool:
    """Whether a policy's name is FILE.py or FILE.py:CLASS."""
    return name.partition(":")[0].endswith(".py")


def check_policy(scenario: Scenario, runs: bool = True) -> Iterator[Problem]:
    """Everything that is wrong with the [policy] section. runs: whether a Python file that it names is run."""
    section = scenario.policy
    yield from _check_budget(scenario)
    if section.name == "ksm" and not section.tunables:
        return
    try:
        if is_own_file(section.name) and not runs:
            _look_at(section.name)
            return
        kind = policy_kind(scenario)
        tunables = kind.all_tunables()
    except UsageError as error:
        yield Problem(("policy", "name"), _unknown(section.name) or str(error))
        return
    if scenario.host.pages == "fingerprints" and kind.below_page:
        text = f'{section.name} patches or compresses, which takes bytes; set [host] pages = "bytes"'
        yield Problem(("policy", "name"), text)
    for name, value in section.tunables.items():
        place: Path = ("policy", "tunables", name)
        if name not in tunables:
            yield Problem(place, f"unknown tunable of {section.name}; {suggest(name, tunables)}")
            continue
        try:
            tunables[name].parse(as_written(_text(value)))
        except KnobError as error:
            yield Problem(place, f"{error}; {accepted(tunables[name])}")


def _check_budget(scenario: Scenario) -> Iterator[Problem]:
    section = scenario.policy
    if section.budget == "cpu" and section.cpu is None:
        yield Problem(("policy", "budget"), 'a budget of CPU is a share of one core; add for example cpu = "5%"')
    if section.budget == "pages" and section.cpu is not None:
        yield Problem(("policy", "cpu"), "the budget is one of pages; leave one of the two out")
    if section.costs == "page_cost" and (section.name != "ksm" or section.cpu is not None):
        yield Problem(("policy", "costs"), "page_cost is for ksm with a budget of pages; leave it out")
    elif section.costs == "page_cost" and scenario.ksm.page_cost is None:
        yield Problem(("policy", "costs"), "[ksm] has no page_cost; give one there, or leave costs out")


def _unknown(name: str) -> str:
    """What to say of a name that no policy has; nothing if it names a file, or a policy."""
    from vmdedup.policy.table import POLICIES

    if name in POLICIES or is_own_file(name):
        return ""
    return f"unknown policy {quoted(name)}; {suggest(name, POLICIES)} (or give a file of your own, FILE.py)"


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def start_policy_at(data: dict[str, Any], folder: FilePath | None) -> None:
    """Have a policy that is named as a file, in a scenario's data, start at the folder of the scenario's file."""
    section = data.get("policy")
    name = section.get("name") if isinstance(section, dict) else None
    if folder is not None and isinstance(name, str) and is_own_file(name):
        assert isinstance(section, dict)
        section["name"] = str(folder.absolute() / name)


def _look_at(name: str) -> None:
    """See that a policy's file is Python and has the class that is named. UsageError: it has not."""
    from vmdedup.policy.table import look_at

    look_at(name)
