"""A KSM script whose comments say what it gives points for.

    # points 3: saved >= 4
    # points 1: scanned <= 200

saved: frames that whole pages need less at the end than without any policy. scanned: pages that the policy looked at.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vmdedup.errors import UsageError
from vmdedup.replay.script import Script, parse

FIGURES: Final = ("saved", "scanned")
_LINE = re.compile(r"#\s*points\b(.*)")
_RULE = re.compile(r"\s*(\d{1,4})\s*:\s*(\w+)\s*(>=|<=|==)\s*(\d{1,12})\s*")
_TESTS: Final[Mapping[str, Callable[[int, int], bool]]] = {">=": operator.ge, "<=": operator.le, "==": operator.eq}


@dataclass(frozen=True)
class Rule:
    """Points for a figure that is as it shall be."""

    points: int
    figure: str
    how: str
    value: int

    @property
    def text(self) -> str:
        """As it is written."""
        return f"{self.figure} {self.how} {self.value}"

    def holds(self, figures: Mapping[str, int]) -> bool:
        """Whether it is as it shall be."""
        return _TESTS[self.how](figures[self.figure], self.value)


@dataclass(frozen=True)
class Exercise:
    """A script and its rules."""

    name: str
    script: Script
    rules: tuple[Rule, ...]

    @property
    def points(self) -> int:
        """All that there are."""
        return sum(rule.points for rule in self.rules)


def exercises(folder: Path) -> list[Exercise]:
    """Every script of a folder, by name. UsageError: there is none, or one says nothing of points, or nothing clear."""
    found = [_exercise(path) for path in sorted(folder.glob("*.ksm"))]
    if not found:
        raise UsageError(
            f"{folder} has no exercises; put KSM scripts there, with lines such as '# points 3: saved >= 4'"
        )
    return found


def _exercise(path: Path) -> Exercise:
    script, rules = parse(path), list[Rule]()
    for number, line in enumerate(script.text.splitlines(), start=1):
        if said := _LINE.fullmatch(line.strip()):
            rule = _RULE.fullmatch(said[1])
            if rule is None or rule[2] not in FIGURES:
                known = ", ".join(FIGURES)
                raise UsageError(
                    f"{path}:{number}: write '# points 3: saved >= 4', with one of {known} and >=, <= or =="
                )
            rules.append(Rule(int(rule[1]), rule[2], rule[3], int(rule[4])))
    if not rules:
        raise UsageError(f"{path} gives no points; add a line such as '# points 3: saved >= 4'")
    return Exercise(path.stem, script, tuple(rules))
