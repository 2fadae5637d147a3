"""What a scenario says to who scans, written once it is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vmdedup.errors import KnobError
from vmdedup.scenario.model import Scenario
from vmdedup.scenario.policy import explicit, inherited

if TYPE_CHECKING:
    from vmdedup.scanner.protocol import Scanner


def write_tunables(scenario: Scenario, scanner: Scanner, note: Callable[[str], None]) -> None:
    """Write what the scenario says. What [ksm] says to all, and another policy refuses, is noted and left."""
    for knob, text in inherited(scenario).items():
        try:
            scanner.set(knob, text)
        except KnobError as error:
            if scenario.policy.is_plain:
                raise
            note(f"{scenario.policy.name}: {error}; it keeps {scanner.get(knob)}")
    for knob, text in explicit(scenario).items():
        scanner.set(knob, text)
