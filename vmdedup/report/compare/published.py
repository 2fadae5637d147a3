"""Published figures: a TOML file with the levels that a paper or a page states, and a series if it has one.

    label = "ESX, 10 alike guests"
    source = "Waldspurger, OSDI 2002, figure 4"
    certainty = "read off a figure"        # how sure the numbers are
    page_size = 4096

    [levels]                                # names as in series.parquet; pages unless the name says otherwise
    saved_pages = 700000

    [[series]]                              # may be left out; each row has time_s and whatever is known then
    time_s = 60.0
    saved_pages = 350000

Figures that are left out are not known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmdedup.errors import UsageError
from vmdedup.report.compare.figures import Figures, Value, number
from vmdedup.toml import read_toml
from vmdedup.units import PAGE_SIZE

_REQUIRED = ("label", "source", "certainty")
_MOST_BYTES = 16 << 20
_LARGEST = 1e15
_KEYS = {*_REQUIRED, "page_size", "levels", "series"}


def read_published(path: Path) -> Figures:
    """The figures in a file. UsageError: it is no such file, with what is wrong."""
    try:
        document = read_toml(path, UsageError, _MOST_BYTES)
    except UsageError as error:
        raise UsageError(f"{path} is neither a results directory nor published figures in TOML: {error}") from None
    problem = _problem(document)
    if problem:
        raise UsageError(f"{path}: {problem}")
    rows = sorted(document.get("series", []), key=lambda row: float(row["time_s"]))
    last = {name: value for name, value in rows[-1].items() if name != "time_s"} if rows else {}
    return Figures(
        label=document["label"],
        backend="published",
        rows=rows,
        levels=last | document.get("levels", {}),
        page_size=document.get("page_size", PAGE_SIZE),
        source=document["source"],
        certainty=document["certainty"],
    )


def _problem(document: Mapping[str, Any]) -> str:
    """What keeps a document from being published figures, or nothing."""
    for name in _REQUIRED:
        if not isinstance(document.get(name), str):
            return f"the text {name!r} is missing; add it"
    if unknown := sorted(set(document) - _KEYS):
        return f"unknown key {unknown[0]!r}; there are {', '.join(sorted(_KEYS))}"
    levels, series, size = document.get("levels", {}), document.get("series", []), document.get("page_size", PAGE_SIZE)
    if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= 2**30:
        return "page_size is no number of bytes; write 4096"
    if not isinstance(levels, dict) or not isinstance(series, list):
        return "write [levels] as a table and each row of the series as [[series]]"
    if not levels and not series:
        return "there are neither [levels] nor [[series]]; add what is known"
    return _no_numbers(levels) or next((text for row in series if (text := _bad_row(row))), "")


def _bad_row(row: object) -> str:
    if not isinstance(row, dict) or not _is_number(row.get("time_s")):
        return "a row of the series has no time_s; add the seconds since its beginning"
    return _no_numbers(row)


def _no_numbers(values: Mapping[str, Value]) -> str:
    wrong = [name for name, value in values.items() if not _is_number(value)]
    return f"{wrong[0]} is no number" if wrong else ""


def _is_number(value: object) -> bool:
    found = number(value)
    return found is not None and math.isfinite(found) and abs(found) <= _LARGEST
