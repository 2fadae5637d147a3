"""What kernels printed, as it is compared."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from vmdedup.replay.emulated import EmulatedMachine
from vmdedup.replay.script import Script

# Of what `mem` says: what a kernel counts of itself, and not of the program that was played there, or of its LRU lists.
VMSTAT = {"cow_ksm", "ksm_swpin_copy", "thp_split_page", "thp_split_page_failed", "thp_split_pmd"}
SMAPS = {"Rss", "Anonymous", "AnonHugePages", "KSM", "Swap"}


def lines(printed: list[str]) -> list[dict[str, Any]]:
    """Printed lines, those of `mem` with what is to be compared only."""
    return [_compared(json.loads(line)) for line in printed]


def _compared(line: dict[str, Any]) -> dict[str, Any]:
    if "vmstat" not in line:
        return line
    kilobytes = {name: {of: size[of] for of in SMAPS} for name, size in line["kB"].items()}
    return {**line, "vmstat": {of: line["vmstat"][of] for of in VMSTAT}, "kB": kilobytes}


def emulated_steps(script: Script) -> Script:
    """A script without the questions that the emulator has no answer to."""
    steps = [step for step in script.steps if hasattr(EmulatedMachine, _method(type(step).__name__))]
    return replace(script, steps=tuple(steps))


def _method(kind: str) -> str:
    return {"Pass": "full_pass", "Exec": "execute"}.get(kind, kind.lower())


def of_steps(recorded: list[str], script: Script) -> list[str]:
    """The recorded lines that these steps print."""
    numbers = {step.line for step in script.steps}
    return [line for line in recorded if json.loads(line)["line"] in numbers]
