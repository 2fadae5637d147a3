"""vmdedup run --vary "A; B; C": one scenario with other means against too little memory, and the table of them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmdedup.cli.say import say_document, warn
from vmdedup.cli.several import Run, run_each

if TYPE_CHECKING:
    from vmdedup.scenario.model import Scenario
    from vmdedup.scenario.overrides import Overrides


def load_alternatives(
    scenario: str, plain: Overrides, text: str, refused: object, quiet: bool
) -> tuple[list[str], list[Scenario]]:
    """Names and scenarios of what --vary names; what a scenario notes is said once.

    refused: flags that do not go with it. UsageError: an alternative, or the scenario with it, that will not do.
    """
    from vmdedup.errors import UsageError
    from vmdedup.scenario.alternatives import alternatives
    from vmdedup.scenario.load import load_scenario

    if refused:
        raise UsageError("--vary and --policy do not go together; leave one out")
    wanted = alternatives(text)
    notes: dict[str, None] = {}
    scenarios = [load_scenario(scenario, replace(plain, alternative=each), say=notes.setdefault) for each in wanted]
    for note in () if quiet else notes:
        warn(note)
    return [each.name for each in wanted], scenarios


def run_alternatives(names: Sequence[str], scenarios: Sequence[Scenario], path: Path, run: Run) -> dict[str, Any]:
    """Run each; its results go below path, into a folder of its name. Returns the document (result.alternatives)."""
    from vmdedup.result.alternatives import FILE, lay_side_by_side

    return run_each(scenarios, names, path, run, FILE, lambda results: lay_side_by_side(results, names))


def show(document: Mapping[str, Any], as_json: bool, no_color: bool) -> None:
    """The answers on stdout."""
    if as_json:
        say_document(document)
        return
    from vmdedup.report.alternatives import render
    from vmdedup.report.console import console

    render(document, console(no_color, to_stdout=True))
