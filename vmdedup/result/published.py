"""Published figures: a TOML file with the levels that a paper or a page states, and a series if it has one.

    label = "ESX, 10 alike guests"
    source = "Waldspurger, OSDI 2002, figure 4"
    certainty = "read off a figure"         # how sure the numbers are
    page_size = 4096                        # may be left out
    reading_error = 2.0                     # how far off a level may be, in its own unit, since it was read off a
                                            # plot; left out: 0, as of what stands in a text or a table
    [levels]                                # names as in series.parquet; pages unless the name says otherwise
    saved_pages = 700000
    esx_percent = [25.0, 40.0]              # from, to: what the paper gives as a range

    [reading_errors]                        # may be left out: of single levels
    saved_pages = 0.0

    [[series]]                              # may be left out; each row has time_s and whatever is known then
    time_s = 60.0
    saved_pages = 350000

Figures that are left out are not known. A range counts as its middle, with half of it as a further error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vmdedup.errors import UsageError
from vmdedup.toml import read_toml
from vmdedup.units import PAGE_SIZE

_REQUIRED: Final = ("label", "source", "certainty")
MOST_BYTES: Final = 16 << 20
_LARGEST: Final = 1e15
_KEYS: Final = {*_REQUIRED, "page_size", "reading_error", "levels", "reading_errors", "series"}

Number = int | float


@dataclass(frozen=True)
class Level:
    """A published figure, in its own unit. error: how far off it may be: reading it off a plot, and half a range."""

    value: Number
    error: float = 0.0


@dataclass(frozen=True)
class Published:
    """What a paper states. certainty: how sure the numbers are. rows: of a series, in order of time."""

    label: str
    source: str
    certainty: str
    levels: Mapping[str, Level] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = ()
    page_size: int = PAGE_SIZE


def read_published(path: Path) -> Published:
    """The figures in a file. UsageError: it is no such file, with what is wrong."""
    return published_of(read_toml(path, UsageError, MOST_BYTES), path)


def published_of(document: Mapping[str, Any], path: Path) -> Published:
    """The figures in a file's document. UsageError: it is no such document, with what is wrong."""
    if problem := _problem(document):
        raise UsageError(f"{path}: {problem}")
    common, errors = float(document.get("reading_error", 0.0)), document.get("reading_errors", {})
    levels = {name: _level(value, errors.get(name, common)) for name, value in document.get("levels", {}).items()}
    return Published(
        label=document["label"],
        source=document["source"],
        certainty=document["certainty"],
        levels=levels,
        rows=sorted(document.get("series", []), key=lambda row: float(row["time_s"])),
        page_size=document.get("page_size", PAGE_SIZE),
    )


def _level(value: Number | list[Number], error: float) -> Level:
    if not isinstance(value, list):
        return Level(value, float(error))
    low, high = value
    return Level((low + high) / 2, (high - low) / 2 + error)


def _problem(document: Mapping[str, Any]) -> str:
    """What keeps a document from being published figures, or nothing."""
    for name in _REQUIRED:
        if not isinstance(document.get(name), str):
            return f"the text {name!r} is missing; add it"
    if unknown := sorted(set(document) - _KEYS):
        return f"unknown key {unknown[0]!r}; there are {', '.join(sorted(_KEYS))}"
    size = document.get("page_size", PAGE_SIZE)
    if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= 2**30:
        return "page_size is no number of bytes; write 4096"
    levels, series = document.get("levels", {}), document.get("series", [])
    if not isinstance(levels, dict) or not isinstance(series, list):
        return "write [levels] as a table and each row of the series as [[series]]"
    wrong = _no_numbers(levels, ranges=True) or next((text for row in series if (text := _bad_row(row))), "")
    return wrong or _bad_errors(document.get("reading_error", 0), document.get("reading_errors", {}), levels)


def _bad_row(row: object) -> str:
    if not isinstance(row, dict) or not _is_number(row.get("time_s")):
        return "a row of the series has no time_s; add the seconds since its beginning"
    return _no_numbers(row)


def _bad_errors(common: object, errors: object, levels: Mapping[str, Any]) -> str:
    """What is wrong with how far off levels may be, or nothing."""
    if not _is_error(common):
        return "reading_error is no number from 0 on"
    if not isinstance(errors, dict):
        return "write [reading_errors] as a table"
    if unknown := sorted(set(errors) - set(levels)):
        return f"reading_errors names {unknown[0]!r}, which is none of [levels]"
    wrong = [name for name, value in errors.items() if not _is_error(value)]
    return f"reading_errors: {wrong[0]} is no number from 0 on" if wrong else ""


def _no_numbers(values: Mapping[str, Any], ranges: bool = False) -> str:
    wrong = [name for name, value in values.items() if not (_is_number(value) or (ranges and _is_range(value)))]
    return f"{wrong[0]} is no number" if wrong else ""


def _is_number(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and abs(value) <= _LARGEST
    )


def _is_error(value: object) -> bool:
    return _is_number(value) and value >= 0  # type: ignore[operator]


def _is_range(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)) and value[0] <= value[1]
