"""What no value of a scenario may be, whichever key has it: looked at before any key is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from vmdedup.scenario.problems import Path, Problem

LONGEST: Final = 4096  # characters of a text; of a path, the kernel takes no more


def check_values(data: Mapping[str, Any]) -> list[Problem]:
    """The first value that is none: a number that is not finite or takes more than 64 bits, a text that is no path."""
    waiting: list[tuple[Path, Any]] = [((), data)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [((*path, key), below) for key, below in value.items()]
        elif isinstance(value, list):
            waiting += [((*path, number), below) for number, below in enumerate(value)]
        elif complaint := _complaint(value):
            return [Problem(path, complaint)]
    return []


def _complaint(value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is no number here; give one"
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return "the number takes more than 64 bits; give a smaller one"
    if isinstance(value, str) and len(value) > LONGEST:
        return f"the text has {len(value)} characters; give at most {LONGEST}"
    if isinstance(value, str) and "\0" in value:
        return "the text has a character NUL, which no name may have; leave it out"
    return ""
