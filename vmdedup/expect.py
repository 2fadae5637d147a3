"""What a scenario expects of its run, as people write it: "saved_percent > 40 after 60s".

FIGURE COMPARISON VALUE [after DURATION]. Without "after" the run's last sample is looked at, else the first one that is
not earlier. Sizes are written as 64MiB, shares as 25%; of figures that are per cents a bare number does as well.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from vmdedup.errors import UsageError
from vmdedup.shown import quoted, suggest
from vmdedup.units import format_duration, mib, parse_duration, parse_size

COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
FIGURES: Final = {  # and in which unit it is: MiB, or per cent
    "allocated": "MiB",
    "used": "MiB",
    "saved": "MiB",
    "possible": "MiB",
    "saved_percent": "%",
    "saved_percent_of_possible": "%",
    "ksmd_cpu": "%",
}
_REMEDY: Final = 'write e.g. "saved_percent > 40 after 60s", "used < 512MiB" or "ksmd_cpu < 10%"'
_FORM: Final = re.compile(r"\s*(\w+)\s*(<=|>=|<|>)\s*(\S+)(?:\s+after\s+(\S+))?\s*\Z")
_PER_CENT: Final = re.compile(r"(\d+(?:\.\d+)?)%?\Z")


@dataclass(frozen=True)
class Expectation:
    """One of them. value: MiB or per cent, as FIGURES says; after_ns: nanoseconds of the run, None: at its end."""

    figure: str
    comparison: str
    value: float
    after_ns: int | None

    @property
    def unit(self) -> str:
        """The unit of the figure: MiB or %."""
        return FIGURES[self.figure]

    def holds(self, found: float) -> bool:
        """Whether a figure, in the expectation's unit, is as expected."""
        return COMPARISONS[self.comparison](found, self.value)

    def __str__(self) -> str:
        when = "" if self.after_ns is None else f" after {format_duration(self.after_ns)}"
        return f"{self.figure} {self.comparison} {self.value:g} {self.unit}{when}"


def parse_expectation(text: Any) -> Expectation:
    """What the text expects. Raises UsageError with the remedy."""
    match = _FORM.match(text) if isinstance(text, str) and len(text) <= 200 else None
    if match is None:
        raise UsageError(f"{quoted(text)} is nothing to expect; {_REMEDY}")
    figure, comparison, value, after = match.groups()
    if figure not in FIGURES:
        raise UsageError(f"{quoted(figure)} is no figure to expect; {suggest(figure, list(FIGURES))}")
    return Expectation(figure, comparison, _value(figure, value), None if after is None else parse_duration(after))


def _value(figure: str, text: str) -> float:
    """The value in the figure's unit."""
    if FIGURES[figure] == "MiB":
        return mib(parse_size(text))
    match = _PER_CENT.match(text)
    if match is None:
        raise UsageError(f"{quoted(text)} is no per cent; {_REMEDY}")
    return float(match[1])
