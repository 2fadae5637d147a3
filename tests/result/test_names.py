"""One rule for names and units: tables count pages and shorten seconds to _s, documents have MiB and _seconds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from kit.compared import guest, row, run_document
from vmdedup.report.compare.document import compare
from vmdedup.report.compare.figures import from_result
from vmdedup.result import columns
from vmdedup.result.policies import side_by_side
from vmdedup.result.run import Result
from vmdedup.result.tables import table

# Rows of tables, and what bears the kernel's own names.
AS_IN_TABLES = ("events", "counters")
KERNELS = re.compile(r"ksm_\w+|pages_\w+|general_profit")
ONE_OR_NONE = "possible_zero_frames"
ELSEWHERE = {  # columns whose twin in the summary has another name
    "time_s": "seconds",
    "zero_pages": "zero_mib",
    "storage_frames": "storage_mib",
    "reference_frames": "reference_mib",
    "held_frames": "held_mib",
}
WITHOUT = {"patch_bytes", "compressed_bytes", "unpatched", "uncompressed", "swapped_in"}  # in pages, or counts


@pytest.fixture(scope="module")
def result() -> Result:
    """A run that has every column there can be, each with a figure of its own."""
    own = dict.fromkeys([*columns.POLICY, *columns.REAL])
    own |= {name: 256 * (10 + at) for at, name in enumerate(own)}
    last = row(60.0, 900, looks=2, adjustments=1, ksmd_cpu_s=1.5, **own)
    run = run_document(
        events=[{"time_s": 5.0, "text": "vm-0: reboot"}],
        worst={"time_s": 7.0, "used_pages": 3900, "host_pages": 8000, "full": False},
        host={"guests_bytes": 2**25, "host_bytes": 2**25, "available_bytes": 2**33, "capped": False},
        copy_ns=1000.0,
    )
    pairs = table([{"guest_a": "vm-0", "guest_b": "vm-1", "shared_frames": 9, "zero_frames": 1}], columns.MATRIX)
    guests = table([guest("vm-0"), guest("vm-1")], columns.GUESTS)
    first = row(0.0, 0) | dict.fromkeys(own, 0) | {"looks": 0, "adjustments": 0}
    return Result(run, table([first, last]), guests, pairs, table([], columns.TIMING))


def keys(document: Any) -> Iterator[str]:
    """All keys of a document, those in lists too, but of what is a table's row."""
    if isinstance(document, dict):
        for name, value in document.items():
            yield name
            if name not in AS_IN_TABLES:
                yield from keys(value)
    elif isinstance(document, list):
        for each in document:
            yield from keys(each)


def test_documents_have_no_names_of_tables(result: Result) -> None:
    documents = [result.summary, side_by_side({"ksm": result}, ["ksm"], "pages")]
    found = {name for document in documents for name in keys(document)}
    wrong = {name for name in found if re.search(r"_(s|pages|frames|bytes|kib|millisecs|sec)$", name)}
    assert {name for name in wrong if not KERNELS.fullmatch(name)} == {ONE_OR_NONE}
    assert {"ksmd_cpu_seconds", "saved_mib", "most_after_seconds", "copying_seconds"} <= found


@pytest.mark.parametrize("part", ["SERIES", "POLICY", "REAL", "GUESTS", "MATRIX", "TIMING"])
def test_tables_have_no_names_of_documents(part: str) -> None:
    for name in getattr(columns, part):
        assert not re.search(r"_(seconds|mib|ms|ns|percent)$", name), name


@pytest.mark.parametrize("column", [*columns.SERIES, *columns.POLICY, *columns.REAL])
def test_each_figure_of_the_last_row_is_in_the_summary_in_its_unit(column: str, result: Result) -> None:
    if column in WITHOUT or not re.search(r"_(s|pages|frames)$", column):
        return
    summary = {**result.summary, **result.summary["forms"]}
    name, _, unit = column.rpartition("_")
    twin = ELSEWHERE.get(column, f"{name}_seconds" if unit == "s" else f"{name}_mib")
    value = result.series[column][-1]
    assert summary[twin] == pytest.approx(value if unit == "s" else value * 4096 / 2**20, abs=0.001)


def test_figures_that_are_compared_bear_the_names_of_tables_and_their_units(result: Result) -> None:
    units = {"pages": "pages", "s": "s"}
    figures = {figure["name"]: figure["unit"] for figure in compare([from_result(result, "a")] * 2)["figures"]}
    assert figures["ksmd_cpu_s"] == "s"
    for name, unit in figures.items():
        assert unit, name
        if (last := name.rpartition("_")[2]) in units and name != "scanned_per_saved_page":
            assert unit == units[last], name
        assert not re.search(r"_(seconds|mib)$", name), name
