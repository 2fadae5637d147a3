"""Play one script on two machines and stop at the first line that differs.

The machines take turns line by line, so a difference is known as soon as there is one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

_NOTHING = "(no such line)"


@dataclass(frozen=True, slots=True)
class Difference:
    """The first two lines that should have been equal. None: that side had no further line."""

    left: str | None
    right: str | None

    @property
    def line(self) -> int:
        """The line number of the script's step that printed the earlier of the two lines."""
        return min(int(json.loads(text)["line"]) for text in (self.left, self.right) if text is not None)


class Comparison:
    """Iterate to get the lines that both sides print; afterwards `difference` is None if all were equal."""

    def __init__(self, left: Iterable[str], right: Iterable[str]) -> None:
        self._pairs = zip_longest(left, right)
        self.difference: Difference | None = None

    def __iter__(self) -> Iterator[str]:
        for left, right in self._pairs:
            if left != right:
                self.difference = Difference(left, right)
                return
            yield left


def render(difference: Difference, names: tuple[str, str] = ("emulator", "kernel"), step: str = "") -> str:
    """Return the two lines side by side, a value a row, a `*` before each row that differs.

    Values that are alike in long lines (groups, processes) are left out. step: the script's own text.
    """
    sides = [_values(text) for text in (difference.left, difference.right)]
    rows = [("", *names)]
    for key in dict.fromkeys([*sides[0], *sides[1]]):
        left, right = (side.get(key, _NOTHING) for side in sides)
        if left != right or "." not in key:
            rows.append((f"{'*' if left != right else ' '} {key}", left, right))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    table = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in rows]
    return "\n".join([f"line {difference.line} differs{': ' if step else ''}{step}", *table])


def _values(text: str | None) -> dict[str, str]:
    """Return every value of a printed line under a dotted key; keys without a dot are always shown."""
    if text is None:
        return {}
    flat: dict[str, str] = {}
    for key, value in json.loads(text).items():
        flat.update(_flatten(key, value))
    return flat


def _flatten(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flatten(f"{key}.{name}", inner)
    elif isinstance(value, list):
        for group in value:
            yield f"{key}.{group[0]}", " ".join(group)
    else:
        yield key, str(value)
