"""Real guests without Ansible, as `vmdedup live run --direct` and `live verify` have them: run, show, keep."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from vmdedup.cli.keeping import kept_first, kept_rows, said_where
from vmdedup.cli.say import say, say_document, warn
from vmdedup.live.provision.plan import RunPlan
from vmdedup.live.scripts.comparison import document, render
from vmdedup.live.scripts.verify import COMPARED
from vmdedup.report.console import console, live_view
from vmdedup.report.summary import render as render_summary
from vmdedup.result.directory import RunDirectory, choose_output
from vmdedup.run.measure.rows import Silent
from vmdedup.run.qemu.direct import Outcome, Wishes, run_direct
from vmdedup.run.qemu.plan import real_plan
from vmdedup.scenario.model import Scenario
from vmdedup.signals import Interrupt, interrupted_status

DIFFERENT = 3
SCHEMA_VERSION = 1


class Direct:
    """One run of a scenario's guests, and how it is shown."""

    def __init__(self, scenario: Scenario, image: str | None, as_json: bool, quiet: bool, no_color: bool) -> None:
        """image: for all guests. ScenarioError, UsageError: the scenario cannot be had with real guests."""
        self._scenario = scenario
        self._as_json, self._quiet, self._no_color = as_json, quiet, no_color
        self._plan, notes = real_plan(scenario, image)
        for note in () if quiet else notes:
            warn(note)

    def run(self, wishes: Mapping[str, Any], knobs: list[str], output: Path | None) -> int:
        """Run, show what came out, keep it, and say where. wishes: fields of Wishes. knobs: as they were given."""
        wanted = Wishes(**wishes, variants=_variants(self._plan, knobs))
        with ExitStack() as stack:
            directory = None
            if wanted.measure:
                directory = stack.enter_context(choose_output(self._scenario.name, output))
                stack.enter_context(kept_rows(directory))
            outcome = self._run(wanted, directory)
            if outcome is None:
                warn("interrupted before there was anything to show")
                return interrupted_status()
            if outcome.result is not None and directory is not None:
                stack.enter_context(said_where(outcome.result.run["ended"], directory.path, self._quiet))
                stack.enter_context(kept_first(outcome.result, directory))
            self._show(outcome)
        return _status(outcome)

    def _run(self, wishes: Wishes, directory: RunDirectory | None) -> Outcome | None:
        screen = console(self._no_color)
        nanoseconds = round(self._plan.seconds * 1e9)
        try:
            with (
                live_view(screen, self._plan.name, nanoseconds, shown=not self._quiet) as view,
                Interrupt() as pressed,
            ):
                return run_direct(self._plan, wishes, view or Silent(), lambda: pressed.wanted, directory)
        except KeyboardInterrupt:
            return None

    def _show(self, outcome: Outcome) -> None:
        """The answers on stdout."""
        if self._as_json:
            say_document(_about(outcome))
            return
        if outcome.result is not None:
            render_summary(outcome.result.summary, console(self._no_color, to_stdout=True))
        for found in outcome.verifications:
            say(render(found))
        for path in outcome.dumps:
            say(f"dumped {path}")


def _about(outcome: Outcome) -> dict[str, Any]:
    about: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "dumps": [str(path) for path in outcome.dumps]}
    if outcome.result is not None:
        about["summary"] = outcome.result.summary
    if outcome.verifications:
        about["verification"] = document(outcome.verifications)
    return about


def _status(outcome: Outcome) -> int:
    if outcome.failure is not None:
        raise outcome.failure
    if outcome.interrupted:
        return interrupted_status()
    return 0 if all(found.is_equal for found in outcome.verifications) else DIFFERENT


def _variants(plan: RunPlan, knobs: list[str]) -> tuple[dict[str, str], ...]:
    """Tunables of each comparison: the scenario's, and unless they say so themselves with zero pages both ways."""
    base = {name: plan.tunables[name] for name in COMPARED if name in plan.tunables}
    if any(knob.startswith("use_zero_pages=") for knob in knobs):
        return (base,)
    return tuple(base | {"use_zero_pages": value} for value in ("0", "1"))
