"""Published experiments on memory dumps: what is planted there is found, and those that take none say so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kit.engine_bench import PAGE, family, noise
from vmdedup.available import Available
from vmdedup.cli import run_command
from vmdedup.errors import EnvironmentLacksError

ZEROS, COPIES, LONE = 7, 5, 9


@pytest.fixture
def dumps(tmp_path: Path) -> list[str]:
    """Two guests: zeros in both, a page that each has copies of, four pages alike, and noise."""
    common = np.repeat(noise(1, 1), COPIES, axis=0)
    parts = {
        "one.raw": [np.zeros((ZEROS, PAGE), np.uint8), common, family(4, 2)],
        "two.raw": [common, np.zeros((ZEROS, PAGE), np.uint8), noise(LONE, 3)],
    }
    for name, rows in parts.items():
        (tmp_path / name).write_bytes(np.concatenate(rows).tobytes())
    return [str(tmp_path / name) for name in parts]


def options(dumps: list[str]) -> list[str]:
    return [word for dump in dumps for word in ("--dumps", dump)]


def test_table_1_of_dumps_has_what_was_planted(dumps: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["experiment", "run", "de-table1", "--json", *options(dumps)]) == 0
    document = json.loads(capsys.readouterr().out)
    (found,) = document["experiments"]
    assert document["command"] == " ".join(["vmdedup", "experiment", "run", "de-table1", *options(dumps)])
    initial = 2 * ZEROS + 2 * COPIES + 4 + LONE
    counts = f"{2 * ZEROS} zero, {2 * COPIES} with copies, {4 + LONE} unique"
    assert found["note"].startswith(f"Pages: {initial} in all, {counts}.")
    # One zero page, one of the copies; three of four alike become patches, in one page.
    assert f"After sharing {2 + 4 + LONE} are left, after patching {2 + 1 + 1 + LONE}." in found["note"]
    assert all(dump in found["stand_in"] for dump in dumps)
    ours = {row["figure"]: row["ours"] for row in found["rows"]}
    assert ours["by zero"] == pytest.approx(100 * (2 * ZEROS - 1) / initial, abs=1e-3)


def test_figure_2_of_dumps_tries_every_detector(dumps: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["experiment", "run", "de-figure2", "--json", *options(dumps)]) == 0
    (found,) = json.loads(capsys.readouterr().out)["experiments"]
    assert len(found["rows"]) == 8
    assert max(row["ours"] for row in found["rows"]) == pytest.approx(
        100 * 2 / (2 * ZEROS + 2 * COPIES + 4 + LONE), 1e-3
    )


@pytest.mark.parametrize("names", [["xlh-build"], ["de-table1", "de-clock"], ["all"]])
def test_experiments_with_guests_of_their_own_take_no_dumps(
    names: list[str], dumps: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["experiment", "run", *names, *options(dumps)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "leave out --dumps, or run de-table1 or de-figure2 with them" in captured.err
    assert not captured.out


def test_dumps_that_are_not_there_or_empty_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.raw").touch()
    for name in ("none.raw", "empty.raw"):
        assert run_command(["experiment", "run", "de-table1", "--dumps", str(tmp_path / name)]) == 2
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        assert name in message


def test_dumps_larger_than_memory_are_refused(
    dumps: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("vmdedup.cli.dumped.available_memory", lambda: Available(20 * PAGE))
    assert run_command(["experiment", "run", "de-table1", *options(dumps)]) == EnvironmentLacksError.exit_status
    assert "name fewer or smaller dumps" in capsys.readouterr().err
