"""A reason why two runs differ. Nothing is said that the data do not show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vmdedup.report.compare.figures import Figures, Value

MOST_NAMED = 8  # keys named in a sentence; the document has all of them


@dataclass(frozen=True)
class Reason:
    """Why the second of two runs is not like the first.

    name: the kind of reason. pages: how many pages it is about, None where that cannot be computed. text: one
    sentence. details: the numbers or keys behind it.
    """

    name: str
    text: str
    pages: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


Finder = Callable[[Figures, Figures], Iterator[Reason]]


def each(first: Figures, other: Figures, one: Value | str, two: Value | str) -> str:
    """Both values with their runs' names: "12 in emulated, 15 in measured"."""
    return f"{show(one)} in {first.label}, {show(two)} in {other.label}"


def show(value: Value | str) -> str:
    """A number with separators, or text as it is."""
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def named(differences: Mapping[str, tuple[str, str]]) -> str:
    """Keys with both values, as many as fit into a sentence."""
    words = [f"{key} ({one} / {two})" for key, (one, two) in differences.items()]
    more = f" and {len(words) - MOST_NAMED} more" if len(words) > MOST_NAMED else ""
    return ", ".join(words[:MOST_NAMED]) + more
