"""Nothing in a directory of results is believed: what is no run, or has what cannot be, is one line, and at once."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kit.compared import SERIES, result
from vmdedup.cli import run_command
from vmdedup.errors import UsageError
from vmdedup.result.columncheck import UNKNOWN
from vmdedup.result.opening import open_result

pytestmark = pytest.mark.usefixtures("one_decoder")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return result().save(tmp_path_factory.mktemp("door") / "a")


def copy(saved: Path, folder: Path) -> Path:
    """A copy of the results, to be spoilt."""
    (folder / "b").mkdir()
    for file in saved.iterdir():
        (folder / "b" / file.name).write_bytes(file.read_bytes())
    return folder / "b"


def refused(path: Path, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_result(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_was_saved_is_read_as_it_was(saved: Path) -> None:
    again = open_result(saved)
    assert again.series.equals(result().series)
    assert again.run == result().run


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"page_size": "4096"}, "page_size: Input should be a valid integer"),
        ({"page_size": 0}, "page_size"),
        ({"page_size": True}, "page_size"),
        ({"name": ["x"]}, "name: Input should be a valid string"),
        ({"events": {"a": 1}}, "events: Input should be a valid list"),
        ({"events": [{"time_s": "0", "text": "x"}]}, "events.0.time_s"),
        ({"scenario": 3}, "scenario"),
        ({"scenario": {"ksm": [1]}}, "scenario.ksm is no table"),
        ({"versions": ["1"]}, "versions"),
        ({"machine": "x"}, "machine"),
        ({"knobs": [["run", 1]]}, "knobs"),
        ({"seed": 1.5}, "seed"),
        ({"name": "\ud800"}, "half a surrogate pair"),
    ],
)
def test_a_run_json_of_wrong_types_is_refused(saved: Path, change: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = copy(saved, tmp_path)
    (path / "run.json").write_text(json.dumps(json.loads((path / "run.json").read_text()) | change))
    refused(path, said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "nested deeper than"),
        ('{"a":' * 40 + "1" + "}" * 40, "nested deeper than 32 levels"),
        ('{"seed": NaN}', "NaN is no number"),
        ('{"seed": -Infinity}', "is no number"),
        ('{"seed": 1e999}', "1e999 is too large"),
        ('{"seed": 1' + "0" * 5000 + "}", "is too large"),
        ("[]", "holds no JSON object"),
        ("\xff", "is no JSON document of ours"),
        ("{}", "name: Field required"),
    ],
)
def test_a_run_json_that_is_none_is_refused(saved: Path, text: str, said: str, tmp_path: Path) -> None:
    path = copy(saved, tmp_path)
    (path / "run.json").write_bytes(text.encode("latin-1"))
    refused(path, said)


def changed(frame: pl.DataFrame, how: str) -> pl.DataFrame:
    first = pl.int_range(pl.len()) == 0
    return {
        "nan": lambda: frame.with_columns(time_s=pl.when(first).then(float("nan")).otherwise("time_s")),
        "infinity": lambda: frame.with_columns(ksmd_cpu_s=pl.lit(float("inf"))),
        "text": lambda: frame.with_columns(saved_pages=pl.lit("many")),
        "none": lambda: frame.with_columns(saved_pages=pl.when(first).then(None).otherwise("saved_pages")),
        "no aim": lambda: frame.with_columns(possible_pages=pl.when(first).then(None).otherwise("possible_pages")),
        "lacking": lambda: frame.drop("saved_pages"),
        "date": lambda: frame.with_columns(pages_shared=pl.lit("2026-01-01").str.to_date()),
        "i128": lambda: frame.with_columns(pages_shared=pl.lit(1).cast(pl.Int128)),
        "list": lambda: frame.with_columns(pages_shared=pl.lit([1, 2])),
        "huge": lambda: frame.with_columns(pages_shared=pl.lit(2**62)),
    }[how]()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("nan", "column time_s holds what is no number"),
        ("infinity", "column ksmd_cpu_s holds what is no number"),
        ("text", "column saved_pages holds String, no numbers"),
        ("none", "column saved_pages lacks values"),
        ("no aim", "column possible_pages lacks values"),
        ("lacking", "it has no column saved_pages"),
        ("date", "column pages_shared holds Date, no numbers"),
        ("i128", "column pages_shared holds Int128, no numbers"),
        ("list", "column pages_shared holds List"),
        ("huge", "column pages_shared holds numbers beyond 1e+15"),
    ],
)
def test_a_series_that_nobody_can_reckon_with_is_refused(saved: Path, how: str, said: str, tmp_path: Path) -> None:
    path = copy(saved, tmp_path)
    changed(result().series, how).write_parquet(path / "series.parquet")
    refused(path, said)


def test_what_nobody_could_know_is_no_trouble(saved: Path, tmp_path: Path) -> None:
    """Every column that may lack values lacks all of them."""
    path = copy(saved, tmp_path)
    for name in ("series", "guests"):
        frame = pl.read_parquet(path / f"{name}.parquet")
        lost = [pl.lit(None, frame.schema[column]).alias(column) for column in sorted(UNKNOWN & set(frame.columns))]
        assert lost or not len(frame)
        frame.with_columns(lost).write_parquet(path / f"{name}.parquet")
    again = open_result(path)
    assert again.summary["cow_breaks"] is None
    assert all(guest["ksm_zero_pages"] is None for guest in again.summary["guests"])
    assert run_command(["compare", str(path), str(saved)]) == 0


def test_sizes_are_bounded_by_the_file_s_own(saved: Path, tmp_path: Path) -> None:
    """Sixty million equal rows in a few hundred kilobytes."""
    path = copy(saved, tmp_path)
    frame = pl.select(time_s=pl.repeat(1.0, 60_000_000))
    frame.write_parquet(path / "series.parquet", compression="zstd")
    assert (path / "series.parquet").stat().st_size < 2 << 20
    refused(path, "far more rows than bytes")


def test_damaged_tables_never_end_the_process_or_print(
    saved: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Some damage makes the library abort, or ask for exabytes; all at once in one process would hide it, so few."""
    path = copy(saved, tmp_path)
    good = (saved / "series.parquet").read_bytes()
    for cut in (0, 3, len(good) // 2, len(good) - 1):
        (path / "series.parquet").write_bytes(good[:cut])
        refused(path, "series.parquet is not a table of a run")
    for place in range(40, len(good), len(good) // 6):
        (path / "series.parquet").write_bytes(good[:place] + b"\xff\xff\xff\xff" + good[place + 4 :])
        with suppress(UsageError):
            open_result(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["run.json", "series.parquet", "policies.json"])
def test_a_pipe_is_not_waited_for(saved: Path, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = copy(saved, tmp_path)
    (path / name).unlink(missing_ok=True)
    if name == "policies.json":
        (path / "run.json").unlink()
    os.mkfifo(path / name)
    assert run_command(["compare", str(path), str(path)]) == 2
    captured = capsys.readouterr()
    assert "is a pipe" in captured.err
    assert captured.err.count("\n") == 1


def test_published_figures_are_not_waited_for_nor_believed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "p.toml")
    deep, infinite = tmp_path / "deep.toml", tmp_path / "infinite.toml"
    deep.write_text("a = " + "[" * 100_000)
    infinite.write_text("label = 'a'\nsource = 'b'\ncertainty = 'c'\n[levels]\nsaved_pages = inf\n")
    deeper = "deep.toml:1: nested deeper than 32 levels"
    for path, said in ((tmp_path / "p.toml", "is a pipe"), (deep, deeper), (infinite, "is no number")):
        assert run_command(["compare", str(path), str(path)]) == 2
        captured = capsys.readouterr()
        assert said in captured.err
        assert captured.err.count("\n") == 1


@pytest.mark.parametrize("part", ["..", "a/b", "", "x\n", 7])
def test_parts_of_several_policies_stay_below(part: Any, tmp_path: Path) -> None:
    (tmp_path / "policies.json").write_text(json.dumps({"policies": [{"policy": part}]}))
    with pytest.raises(UsageError, match=r"not as vmdedup writes it: policies\.0"):
        open_result(tmp_path)


def test_names_in_results_give_no_orders_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    orders = "x\x1b]0;owned\x07\u202e"
    events = [{"time_s": 1.0, "text": orders}]
    for name in "ab":
        result([*SERIES[:-1], SERIES[-1] | {"saved_pages": 900 + ord(name)}], name=orders, ended=orders,
               events=events, versions={"vmdedup": orders + name}).save(tmp_path / name)  # fmt: skip
    assert run_command(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--plot", str(tmp_path / "p.svg")]) == 0
    captured = capsys.readouterr()
    for text in (captured.out, captured.err, (tmp_path / "p.svg").read_text()):
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert "\\x1b]0;owned" in captured.out
