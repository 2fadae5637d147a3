"""The two sides of a comparison: a kernel, and the emulator as some version of Linux or a mixture of versions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from vmdedup.errors import GuestError, ScriptError
from vmdedup.ksm.profile import Profile
from vmdedup.replay.compare import Comparison, Difference
from vmdedup.replay.emulated import EmulatedMachine
from vmdedup.replay.machine import Machine
from vmdedup.replay.play import play
from vmdedup.replay.script import Script, parse_text
from vmdedup.replay.steps import Set

# Of `mem`, what is equal wherever a script is played; the rest is the machine's own.
_COMPARED_VMSTAT = ("cow_ksm", "ksm_swpin_copy", "thp_split_page", "thp_split_page_failed", "thp_split_pmd")
_COMPARED_KB = ("Rss", "Anonymous", "AnonHugePages", "KSM", "Swap")


class Sides:
    """Plays scripts on both. kernel: a machine in the start state, the same one again or a new one."""

    def __init__(self, kernel: Callable[[], Machine]) -> None:
        self._kernel = kernel
        self._printed: dict[tuple[str, Path], list[str]] = {}

    def script(self, text: str, folder: Path) -> Script | None:
        """The script; None: it is none."""
        try:
            return parse_text(text, folder)
        except ScriptError:
            return None

    def is_for_both(self, script: Script, profile: Profile) -> bool:
        """Whether the emulator has all that the script asks for."""
        try:
            with EmulatedMachine(script, profile=profile) as machine:
                for _ in play(script, machine):
                    pass
        except ScriptError:
            return False
        return True

    def difference(self, script: Script, folder: Path, profile: Profile) -> Difference | None:
        """The first lines that differ, the emulator's and the kernel's; None: all are equal.

        Where the kernel has broken down, it has no line.
        """
        with EmulatedMachine(script, profile=profile) as machine:
            emulated = map(_compared, play(script, machine))
            comparison = Comparison(emulated, map(_compared, self._lines(script, folder)))
            for _ in comparison:
                pass
            return comparison.difference

    def lacking(self, script: Script) -> Iterator[str]:
        """Counters that the kernel prints nothing for, and tunables that it has not, in a script of the current folder."""
        said = {answer["line"]: answer for answer in map(json.loads, self._lines(script, Path()))}
        for step in script.steps:
            answer = said.get(step.line, {})
            if isinstance(step, Set) and answer.get("error") == "ENOENT":
                yield step.knob
            for figures in (answer, *answer.get("vms", {}).values()):
                yield from (name for name, value in figures.items() if value is None)

    def _lines(self, script: Script, folder: Path) -> Iterable[str]:
        """What the kernel prints, which is asked once."""
        key = script.text, folder
        if key not in self._printed:
            printed: list[str] = []
            self._printed[key] = printed
            try:
                printed.extend(play(script, self._kernel()))
            except GuestError:
                printed.append('{"line": 0, "error": "the kernel has broken down"}')
        return self._printed[key]


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
