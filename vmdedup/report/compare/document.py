"""The comparison as one JSON document; the text for people is made from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from vmdedup.report.compare.alignment import By, Moment, align, widest
from vmdedup.report.compare.figures import Figures, number
from vmdedup.report.compare.measures import COUNTERS, SIZES, Compared, compare_ends
from vmdedup.report.compare.reasons import find_reasons
from vmdedup.result.summary import MILESTONES

SCHEMA_VERSION: Final = 1
SERIES: Final = (*(f"{size}_pages" for size in SIZES), *COUNTERS, "cow_breaks", "ksmd_cpu_s")
WATCHED: Final = ("saved_pages", "pages_shared", "pages_sharing")  # whose widest difference is told


def compare(runs: Sequence[Figures], by: By = "time", percents: Sequence[int] = MILESTONES) -> dict[str, Any]:
    """Everything about runs side by side; differences are against the first of them.

    figures: at the end of each run. series: by time or by full scans, the last sample at or before each moment;
    null where a run has none. Per cent is null where the first is 0 and the other is not, or where one is unknown.
    """
    moments = align(runs, by)
    return {
        "schema_version": SCHEMA_VERSION,
        "by": by,
        "runs": [_run(figures) for figures in runs],
        "figures": [_figure(each) for each in compare_ends(runs, percents)],
        "series": [_moment(moment, runs) for moment in moments],
        "widest": [_widest(moments, run, name) for run in range(1, len(runs)) for name in WATCHED],
        "reasons": [_reason(runs, run) for run in range(1, len(runs))],
    }


def _run(figures: Figures) -> dict[str, Any]:
    return {
        "label": figures.label,
        "backend": figures.backend,
        "source": figures.source or None,
        "certainty": figures.certainty or None,
        "page_size": figures.page_size,
        "samples": len(figures.rows),
        "seconds": figures.seconds if figures.rows else None,
        "guests": len(figures.guests) or None,
    }


def _figure(compared: Compared) -> dict[str, Any]:
    measure = compared.measure
    return {
        "name": measure.name,
        "group": measure.group,
        "unit": measure.unit,
        "values": list(compared.values),
        "differences": list(compared.differences),
        "percent": [_rounded(percent) for percent in compared.percents],
    }


def _moment(moment: Moment, runs: Sequence[Figures]) -> dict[str, Any]:
    return {
        "at": moment.at,
        "runs": [None if row is None else _sample(row) for row in moment.rows],
        "saved_percent": [_rounded(moment.percent(run, "saved_pages")) for run in range(len(runs))],
    }


def _sample(row: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: number(row.get(name)) for name in ("time_s", *SERIES)}
    return {name: value for name, value in known.items() if value is not None}


def _widest(moments: Sequence[Moment], run: int, name: str) -> dict[str, Any]:
    found = widest(moments, run, name)
    where = {"run": run, "name": name, "at": None, "difference": None, "percent": None}
    if found is None:
        return where
    moment, gap = found
    return where | {"at": moment.at, "difference": gap, "percent": _rounded(moment.percent(run, name))}


def _reason(runs: Sequence[Figures], run: int) -> dict[str, Any]:
    """The reasons why a run is not like the first."""
    found = find_reasons(runs[0], runs[run])
    listed = [{"name": r.name, "pages": r.pages, "text": r.text, "details": dict(r.details)} for r in found]
    return {"run": run, "found": listed}


def _rounded(percent: float | None) -> float | None:
    return None if percent is None else round(percent, 4)
