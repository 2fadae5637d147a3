"""Exports that others have written: nothing in them is taken on trust, and nothing hostile reaches the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kit.scan_oracle import page, write_raw
from vmdedup.cli import run_command
from vmdedup.errors import DumpError
from vmdedup.scan import scan_dumps

pytestmark = pytest.mark.usefixtures("one_decoder")


def rewritten(path: Path, frame: pl.DataFrame, **changes: Any) -> Path:
    """An export with another frame, and what its metadata say of its first dump changed."""
    about = json.loads(pl.read_parquet_metadata(path)["vmdedup"])
    about["dumps"][0] |= changes
    frame.write_parquet(path, metadata={"vmdedup": json.dumps(about)})
    return path


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """An export of a dump of four pages, two of them zeros."""
    path = tmp_path / "a.parquet"
    scan_dumps([write_raw(tmp_path / "a.raw", [page(2), page(0), page(3), page(0)])], salt="x", hashes_only=path)
    return path


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("page", pl.Series([0.0, 1.0, float("nan"), 3.0]), "its column page is Float64, not Int64"),
        ("page", pl.Series([0.0, 1.0, float("inf"), 3.0]), "its column page is Float64, not Int64"),
        ("hash_high", pl.Series([1, 2, 3, 4], dtype=pl.Int128), "its column hash_high is Int128, not UInt64"),
        ("zero", pl.Series([0, 1, 2, 3], dtype=pl.Int64).cast(pl.Date), "its column zero is Date, not Boolean"),
        ("foreign", pl.Series([1, 2, 3, 4]), "it has a column 'foreign'"),
        ("\x1b[31m\u202e", pl.Series([1, 2, 3, 4]), "it has a column '\\x1b[31m\\u202e'"),
    ],
)
def test_columns_are_looked_at_before_anything_is_read(
    export: Path, column: str, values: pl.Series, words: str
) -> None:
    rewritten(export, pl.read_parquet(export).with_columns(values.alias(column)))
    with pytest.raises(DumpError, match=r"a\.parquet: is a Parquet file, but no export") as error:
        scan_dumps([export])
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("page", [0, 1, 1, 3], "a page stands there twice"),
        ("page", [0, 1, 2, 4], "a page outside its region"),
        ("page", [-1, 1, 2, 3], "a page outside its region"),
        ("region", [0, 0, 1, 0], "a page of an unknown region"),
        ("region", [0, -1, 0, 0], "a page of an unknown region"),
        ("zero", [False, True, True, True], "zeros have several fingerprints"),
        ("zero", [False, True, False, False], "zeros have several fingerprints"),
    ],
)
def test_rows_are_looked_at_before_they_are_counted(export: Path, column: str, values: list[int], words: str) -> None:
    frame = pl.read_parquet(export)
    rewritten(export, frame.with_columns(pl.Series(column, values, dtype=frame[column].dtype)))
    with pytest.raises(DumpError, match=f"is damaged .{words}"):
        scan_dumps([export])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"read": 1 << 70}, "number of pages is none"),
        ({"read": -4}, "number of pages is none"),
        ({"read": True}, "number of pages is none"),
        ({"read": 4.0}, "number of pages is none"),
        ({"read": float("nan")}, "number of pages is none"),
        ({"name": ["a"]}, "should be a name is none"),
        ({"name": "x" * 10_000}, "should be a name is none"),
        ({"regions": {}}, "a dump is not described"),
        ({"regions": [["memory", 0, 1 << 40]]}, "4 pages of a dump that has"),
        ({"regions": [["memory", 0, 3]]}, "4 pages of a dump that has 3"),
        ({"regions": [["a", 0, 3], ["b", 2, 3]]}, "regions overlap"),
        ({"regions": [["a", 0]]}, "a region is not described"),
    ],
)
def test_what_an_export_says_of_itself_is_looked_at(export: Path, changes: dict[str, Any], words: str) -> None:
    rewritten(export, pl.read_parquet(export), **changes)
    with pytest.raises(DumpError, match=words):
        scan_dumps([export])


def test_pages_in_another_order_are_what_they_were(export: Path) -> None:
    before = scan_dumps([export]).total
    rewritten(export, pl.read_parquet(export).reverse())
    assert scan_dumps([export]).total == before


def test_metadata_nested_without_end(export: Path) -> None:
    pl.read_parquet(export).write_parquet(export, metadata={"vmdedup": "[" * 100_000})
    with pytest.raises(DumpError, match="no export"):
        scan_dumps([export])


def test_rows_that_a_file_cannot_hold_are_not_read(tmp_path: Path) -> None:
    """An export of a few kB that declares millions of rows: refused by its size before memory is taken for them."""
    path, rows = tmp_path / "a.parquet", 3_000_000
    columns = {"region": pl.Int32, "page": pl.Int64, "hash_high": pl.UInt64, "hash_low": pl.UInt64, "zero": pl.Boolean}
    frame = pl.DataFrame([pl.repeat("a", rows, eager=True).alias("dump")]).with_columns(
        pl.repeat(0, rows, dtype=kind, eager=True).alias(name) for name, kind in columns.items() if name != "zero"
    )
    frame.with_columns(pl.repeat(True, rows, eager=True).alias("zero")).write_parquet(path, metadata={"vmdedup": "{}"})
    assert path.stat().st_size < rows // 10
    with pytest.raises(DumpError, match=f"{rows} rows are said to be in {path.stat().st_size} bytes"):
        scan_dumps([path])


def test_hostile_names_never_reach_the_terminal(export: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b]0;x\x07\u202e\u009b31m"
    rewritten(export, pl.read_parquet(export), name=hostile, format=hostile, regions=[[hostile, 0, 4]])
    for arguments in (["scan", str(export)], ["scan", "--json", str(export)], ["scan", str(export), str(export)]):
        run_command(arguments)
        told = capsys.readouterr()
        assert (told.out + told.err).replace("\n", " ").isprintable(), ascii(told)
    assert "u202e" in told.err or "u202e" in told.out or "same file" in told.err
