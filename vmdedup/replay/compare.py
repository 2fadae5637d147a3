"""Play one script on two machines or more, and stop at the first line that differs.

The machines take turns line by line, so a difference is known as soon as there is one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

_NOTHING = "(no such line)"


@dataclass(frozen=True, slots=True)
class Difference:
    """The first lines that should have been equal, one of each side. None: that side had no further line."""

    sides: tuple[str | None, ...]

    @property
    def line(self) -> int:
        """The line number of the script's step that printed the earliest of the lines."""
        return min(int(json.loads(text)["line"]) for text in self.sides if text is not None)


class Comparison:
    """Iterate to get the lines that all sides print; afterwards `difference` is None if all were equal."""

    def __init__(self, *sides: Iterable[str]) -> None:
        self._rounds = zip_longest(*sides)
        self.difference: Difference | None = None

    def __iter__(self) -> Iterator[str]:
        for lines in self._rounds:
            if any(line != lines[0] for line in lines):
                self.difference = Difference(lines)
                return
            yield lines[0]


def render(difference: Difference, names: Sequence[str] = ("emulator", "kernel"), step: str = "") -> str:
    """Return the lines side by side, a value a row, a `*` before each row that differs.

    Values that are alike in long lines (groups, processes) are left out. names: of the sides. step: the script's text.
    """
    sides = [_values(text) for text in difference.sides]
    rows: list[tuple[str, ...]] = [("", *names)]
    for key in dict.fromkeys(key for side in sides for key in side):
        values = [side.get(key, _NOTHING) for side in sides]
        differ = len(set(values)) > 1
        if differ or "." not in key:
            rows.append((f"{'*' if differ else ' '} {key}", *values))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
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
