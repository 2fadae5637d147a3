"""vmdedup run --policy A,B,C: one scenario under each policy, one after another, and the table of them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmdedup.cli.keeping import kept_rows
from vmdedup.cli.say import say_document

if TYPE_CHECKING:
    from vmdedup.result.directory import RunDirectory
    from vmdedup.result.run import Result
    from vmdedup.scenario.model import Scenario

Run = Callable[["Scenario", str, "RunDirectory"], "Result"]  # scenario, title, where its rows go
Lay = Callable[[Mapping[str, "Result"]], dict[str, Any]]


def split_policies(policy: str | None) -> list[str]:
    """The policies that --policy names; none without it. UsageError: a name is empty, or given twice."""
    from vmdedup.errors import UsageError

    if policy is None:
        return []
    names = [name.strip() for name in policy.split(",")]
    if "" in names:
        raise UsageError(f"--policy {policy!r} has an empty name; write for example --policy ksm,ideal")
    if twice := [name for number, name in enumerate(names) if name in names[:number]]:
        raise UsageError(f"--policy names {twice[0]} twice; leave one out")
    return names


def knobs_by_policy(policies: Sequence[str], knobs: Sequence[str]) -> dict[str, list[str]]:
    """The KNOB=VALUE of each policy from NAME.KNOB=VALUE; the name may be left out if there is one policy.

    UsageError: a name that is not among the policies.
    """
    from vmdedup.errors import UsageError

    labels = dict(zip(labels_of(policies), policies, strict=True))
    found: dict[str, list[str]] = {name: [] for name in policies}
    for knob in knobs:
        label, dot, _ = knob.partition("=")[0].partition(".")
        value = knob[len(label) + 1 :]
        if dot and label in labels:
            found[labels[label]].append(value)
        elif len(policies) == 1 and not dot:
            found[policies[0]].append(knob)
        else:
            known = ", ".join(labels) or "none: name one with --policy"
            raise UsageError(f"--policy-set {knob}: write NAME.KNOB=VALUE, the name one of the policies ({known})")
    return found


def labels_of(names: Sequence[str]) -> list[str]:
    """What each policy is called in results: of files with the same name in two folders, the second is NAME-2."""
    from vmdedup.policy.table import policy_label

    labels: list[str] = []
    for label in map(policy_label, names):
        free = (label if number == 1 else f"{label}-{number}" for number in count(1))
        labels.append(next(each for each in free if each not in labels))
    return labels


def run_policies(scenarios: Sequence[Scenario], path: Path, run: Run) -> dict[str, Any]:
    """run_each, of scenarios that differ in their policies."""
    from vmdedup.result.policies import FILE, side_by_side
    from vmdedup.scanner.process import warm_scanners

    labels = labels_of([scenario.policy.name for scenario in scenarios])
    warm_scanners(*(scenario.policy.name for scenario in scenarios))
    budget = budget_of(scenarios[0])
    return run_each(scenarios, labels, path, run, FILE, lambda results: side_by_side(results, labels, budget))


def run_each(
    scenarios: Sequence[Scenario], labels: Sequence[str], path: Path, run: Run, file: str, lay: Lay
) -> dict[str, Any]:
    """Run every scenario, and keep each result below path as soon as it is there, with the document of all so far.

    file: its name; lay: makes it. Ctrl-C ends the run at work, whose results so far are kept, and begins no other.
    Returns the document.
    """
    from vmdedup.result.directory import RunDirectory
    from vmdedup.result.policies import save_document

    results: dict[str, Result] = {}
    document: dict[str, Any] = {}
    for number, (label, scenario) in enumerate(zip(labels, scenarios, strict=True), 1):
        with RunDirectory(path / label) as part:
            try:
                with kept_rows(part):
                    result = run(scenario, f"{scenario.name}: {label} ({number} of {len(labels)})", part)
            except KeyboardInterrupt:
                if not results:
                    raise
                break
            result.save_into(part)
        results[label] = result
        document = lay(results)
        save_document(document, path, file)
        if result.run["ended"] == "interrupted":
            break
    return document


def budget_of(scenario: Scenario) -> str:
    """The budget as --budget takes it."""
    share = scenario.policy.cpu
    return "pages" if share is None else f"cpu={100 * share:g}%"


def show(document: Mapping[str, Any], as_json: bool, no_color: bool) -> None:
    """The answers on stdout."""
    if as_json:
        say_document(document)
        return
    from vmdedup.report.console import console
    from vmdedup.report.policies import render

    render(document, console(no_color, to_stdout=True))
