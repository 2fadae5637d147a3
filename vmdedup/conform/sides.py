"""The two sides of a comparison: a kernel, and the emulator as some version of Linux or a mixture of versions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from vmdedup.errors import GuestError
from vmdedup.ksm.profile import Profile
from vmdedup.replay.compare import Comparison, Difference
from vmdedup.replay.emulated import EmulatedMachine
from vmdedup.replay.machine import Machine
from vmdedup.replay.play import play
from vmdedup.replay.script import Script
from vmdedup.replay.steps import Set, Status, Step

# Of `mem`, what is equal wherever a script is played; the rest is the machine's own.
_COMPARED_VMSTAT = ("cow_ksm", "ksm_swpin_copy", "thp_split_page", "thp_split_page_failed", "thp_split_pmd")
_COMPARED_KB = ("Rss", "Anonymous", "AnonHugePages", "KSM", "Swap")


MERGE_ANY = "PR_SET_MEMORY_MERGE"
STATUS = (MERGE_ANY, "ksm_stat:ksm_merging_pages", "ksm_merge_any", "ksm_mergeable")  # of ksm.profile.FILES

Kernel = Callable[[Script], Machine]


class Sides:
    """Plays scripts on both. kernel: gives a machine for a script, in the start state."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._printed: dict[tuple[Step, ...], list[str]] = {}

    def difference(self, script: Script, profile: Profile) -> Difference | None:
        """The first lines that differ, the emulator's and the kernel's; None: all are equal.

        ScriptError: the emulator has nothing for one of its steps.
        """
        with EmulatedMachine(script, profile=profile) as machine:
            comparison = Comparison(map(_compared, play(script, machine)), map(_compared, self._lines(script)))
            for _ in comparison:
                pass
            return comparison.difference

    def lacking(self, script: Script) -> Iterator[str]:
        """Counters that the kernel prints nothing for, and tunables that it has not in a script."""
        said = {answer["line"]: answer for answer in map(json.loads, self._lines(script))}
        for step in script.steps:
            answer = said.get(step.line, {})
            if isinstance(step, Set) and answer.get("error") == "ENOENT":
                yield step.knob
            if isinstance(step, Status):
                yield from _not_said(answer.get("status", {}))
            for figures in (answer, *answer.get("vms", {}).values()):
                yield from (name for name, value in figures.items() if value is None)

    def _lines(self, script: Script) -> Iterator[str]:
        """What the kernel prints, which is asked once, and not before there is something to compare it with."""
        if script.steps not in self._printed:
            printed = self._printed[script.steps] = []
            try:
                printed.extend(play(script, self._kernel(script)))
            except GuestError as error:
                printed.append(json.dumps({"line": script.steps[-1].line, "error": str(error)}))
        yield from self._printed[script.steps]


def _not_said(status: dict[str, Any]) -> Iterator[str]:
    """Of STATUS, what an answer to `status` does not have."""
    yield from (name for name in STATUS if name.rpartition(":")[2] not in status and name != MERGE_ANY)
    if status.get("get_memory_merge") == "EINVAL":
        yield MERGE_ANY


def _compared(line: str) -> str:
    """A line with what both sides should have alike."""
    answer = json.loads(line)
    if "vmstat" not in answer:
        return line
    figures: Iterator[tuple[str, Any]] = ((name, _only(kb, _COMPARED_KB)) for name, kb in answer["kB"].items())
    shown = {"line": answer["line"], "vmstat": _only(answer["vmstat"], _COMPARED_VMSTAT), "kB": dict(figures)}
    return json.dumps(shown)


def _only(figures: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: figures.get(name) for name in names}
