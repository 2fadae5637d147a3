"""The tables after a run of several policies: whatever the figures and the terminal, none is cut."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from vmdedup.report.fitted import fitted
from vmdedup.report.policies import render

SIZES = (
    *("saved", "mean_saved", "zero", "within_guest", "between_guests", "peak_used", "shared_saved", "patch_saved"),
    *("compress_saved", "patched", "compressed", "filled", "swapped", "storage", "reference"),
)
PERCENTS = ("saved_percent", "mean_saved_percent", "saved_percent_of_possible")


def policy(name: str) -> dict[str, Any]:
    """Figures of a large host, each another."""
    sizes = {f"{size}_mib": 12345.6 + at for at, size in enumerate(SIZES)}
    return {
        "policy": name,
        "ended": "complete",
        **sizes,
        **{percent: 61.5 + at for at, percent in enumerate(PERCENTS)},
        "seconds_to_percent_of_possible": {"50": 1000.0, "90": 2000.0, "99": None},
        "pages_scanned": 123456789,
        "cow_breaks": 1234567,
        "unpatched": 5,
        "uncompressed": 6,
        "swapped_in": 7,
        "cpu_seconds": 23456.789,
        "cpu_seconds_per_saved_mib": 1.234567,
        "guests_cost_seconds": 34567.891,
    }


@pytest.mark.parametrize("width", [80, 110, 200])
def test_no_figure_is_cut(width: int) -> None:
    names = ["ksm", "difference_engine"]
    document = {
        "scenario": "x",
        "policies": [policy(name) for name in names],
        "wanted": names,
        "ended": "complete",
        "clock": "lockstep",
        "seed": 1,
        "budget": "pages",
    }
    out = io.StringIO()
    render(document, Console(file=out, width=width, no_color=True))
    text = out.getvalue()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    figures = [*(f"{12345.6 + at:,.1f}" for at in range(len(SIZES))), "61.5", "62.5", "63.5", "123,456,789"]
    for figure in [*figures, "1,234,567", "23456.789", "1234.567", "34567.891", "1000.0", "2000.0", "18"]:
        assert text.split().count(figure) == 2, figure
    assert text.count("\nksm") == text.count("\ndifference_engine") >= 3


def test_columns_that_do_not_fit_follow_below() -> None:
    cells = ["1,000.0", "2,000.0"]
    tables = list(fitted("MiB", ["one", "another"], [(f"column {at}", cells) for at in range(7)], width=9 + 3 * 9))
    assert [len(table.columns) - 1 for table in tables] == [3, 3, 1]
    assert [len(table.columns) - 1 for table in fitted("MiB", ["a", "b"], [("x", cells)], width=3)] == [1]
