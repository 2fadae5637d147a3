"""What a run's scenario expected of it, held against its series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vmdedup.expect import Expectation, parse_expectation
from vmdedup.result.tables import Row
from vmdedup.units import SECOND_NS, mib


def expectations(run: Mapping[str, Any], rows: Sequence[Row], size: int) -> list[dict[str, Any]]:
    """Each expectation of run.json's scenario: text, found (in unit; null: the run has no such sample), unit, holds.

    rows: the series; size: bytes of a page. What has no figure does not hold.
    """
    said = run.get("scenario", {}).get("expect") or ()
    return [_held(str(each["that"]), rows, size) for each in said]


def _held(text: str, rows: Sequence[Row], size: int) -> dict[str, Any]:
    wanted = parse_expectation(text)
    row = _sample(wanted, rows)
    found = None if row is None else _figure(wanted.figure, row, size)
    holds = found is not None and wanted.holds(found)
    return {"that": text, "found": None if found is None else round(found, 3), "unit": wanted.unit, "holds": holds}


def _sample(wanted: Expectation, rows: Sequence[Row]) -> Row | None:
    if wanted.after_ns is None:
        return rows[-1] if rows else None
    after = wanted.after_ns / SECOND_NS
    return next((row for row in rows if float(row["time_s"]) >= after), None)


def _figure(name: str, row: Row, size: int) -> float | None:
    """The figure in its unit; None where it is a share of nothing. ksmd_cpu: of one core, since the run began."""
    if name == "ksmd_cpu":
        return _percent(float(row["ksmd_cpu_s"]), float(row["time_s"]))
    whole = {"saved_percent": "allocated_pages", "saved_percent_of_possible": "possible_pages"}.get(name)
    if whole is not None:
        return _percent(float(row["saved_pages"]), float(row[whole]))
    return mib(float(row[f"{name}_pages"]) * size)


def _percent(part: float, whole: float) -> float | None:
    return 100.0 * part / whole if whole > 0 else None
