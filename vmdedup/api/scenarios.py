"""Running a scenario that is built in, or in a TOML file."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from vmdedup.api.watching import ToLogging, watching
from vmdedup.errors import UsageError
from vmdedup.result.run import Result
from vmdedup.run.run import run_scenario as run_loaded
from vmdedup.scenario.load import DEFAULT, load_scenario
from vmdedup.scenario.model import Scenario
from vmdedup.scenario.overrides import Overrides
from vmdedup.shown import suggest


def run_scenario(
    scenario: str | Path | Scenario = DEFAULT, *, on: str = "emulator", progress: bool = False, **changes: Any
) -> Result:
    """Run a scenario of `vmdedup scenario list`, of a TOML file, or of load_scenario.

    on: "emulator", or "kernel", this machine's own KSM (as root). progress: the latest row is shown meanwhile, on a
    terminal or in a notebook. changes: what the flags of `vmdedup run` change, by their names: guests, memory,
    workload, seed, duration, clock, prices, kernel, policy, budget, and knobs and policy_knobs, lists of "KNOB=VALUE".
    Raises UsageError with the key and the remedy. Warnings go to the logger "vmdedup.run".
    """
    known = {field.name for field in fields(Overrides)}
    for name in changes:
        if name not in known:
            raise UsageError(f"{name}: unknown change; {suggest(name, known)}")
    if isinstance(scenario, Scenario) and changes:
        raise UsageError("a loaded scenario is run as it is; give the changes to load_scenario, as Overrides")
    loaded = scenario if isinstance(scenario, Scenario) else load_scenario(scenario, Overrides(**changes))
    with watching(loaded, progress) as watcher:
        return run_loaded(loaded, watcher, ToLogging(), backend=on)
