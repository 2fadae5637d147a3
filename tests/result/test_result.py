"""Results: the tables, the answers computed from them, and the directory that appears whole or not at all."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from vmdedup.errors import UsageError, VmdedupError
from vmdedup.result import columns, directory
from vmdedup.result.opening import open_result
from vmdedup.result.run import Result
from vmdedup.result.summary import time_to
from vmdedup.result.tables import table

MIB_PAGES = 256

RUN = {
    "name": "tiny",
    "seed": 7,
    "clock": "lockstep",
    "ended": "complete",
    "page_size": 4096,
    "events": [{"time_s": 1.0, "text": "vm-1 leaves"}],
}


def sample(time_s: float, allocated: int, saved: int, possible: int) -> dict[str, int | float]:
    """One row of a series, sizes in MiB; a third each of the saving is zero, within and between guests."""
    row: dict[str, int | float] = dict.fromkeys(columns.SERIES, 0)
    row |= {"time_s": time_s, "guests": 2, "ksmd_cpu_s": time_s / 10}
    parts = ("zero_pages", "within_guest_pages", "between_guests_pages")
    row |= {
        "allocated_pages": allocated * MIB_PAGES,
        "saved_pages": saved * MIB_PAGES,
        "used_pages": (allocated - saved) * MIB_PAGES,
        "possible_pages": possible * MIB_PAGES,
    }
    row |= dict.fromkeys(parts, saved * MIB_PAGES // 3)
    counters = {"pages_shared": 1000, "pages_sharing": 2000, "pages_unshared": 200, "pages_volatile": 300}
    return row | counters | {"pages_scanned": int(time_s * 1000), "use_zero_pages": 0}


def guest(name: str) -> dict[str, int | str]:
    row: dict[str, int | str] = dict.fromkeys(columns.GUESTS, 512)
    return row | {"guest": name, "group": "vm", "state": "running"}


@pytest.fixture
def result() -> Result:
    series = [
        sample(0.0, 0, 0, 0),
        sample(1.0, 90, 12, 30),
        sample(2.0, 90, 15, 30),
        sample(3.0, 90, 27, 30),
        sample(4.0, 120, 30, 40),
    ]
    pair: dict[str, int | str] = {
        "guest_a": "vm-0",
        "guest_b": "vm-1",
        "shared_frames": 256,
        "zero_frames": 0,
    }
    timing: dict[str, int | float] = dict.fromkeys(columns.TIMING, 0.5)
    return Result(
        RUN,
        table(series),
        table([guest("vm-0"), guest("vm-1")]),
        table([pair]),
        table([timing] * len(series)),
    )


def test_the_answers(result: Result) -> None:
    summary = result.summary
    assert summary["allocated_mib"] == 120
    assert summary["used_mib"] == 90
    assert summary["saved_mib"] == 30
    assert summary["saved_percent"] == 25.0
    assert summary["zero_mib"] + summary["within_guest_mib"] + summary["between_guests_mib"] == 30
    assert summary["possible_mib"] == 40
    assert summary["saved_percent_of_possible"] == 75.0
    assert summary["possible_zero_frames"] == 1
    assert summary["pages_scanned"] == 4000
    assert summary["pages_scanned_per_saved_mib"] == pytest.approx(133.333)
    assert summary["ksmd_cpu_seconds"] == 0.4
    assert summary["peak_allocated_mib"] == 120
    assert summary["metadata_mib"] == round((3500 * 64 + 1000 * 64) / 2**20, 3)
    assert summary["counters"]["pages_sharing"] == 2000
    assert "saved_pages" not in summary["counters"]
    assert [g["name"] for g in summary["guests"]] == ["vm-0", "vm-1"]
    assert summary["guests"][0]["allocated_mib"] == 2.0
    assert summary["matrix"] == [{"guests": ["vm-0", "vm-1"], "shared_mib": 1.0, "zero_mib": 0.0}]


def test_time_to_a_share_of_what_was_possible_at_that_moment(result: Result) -> None:
    assert result.summary["seconds_to_percent_of_possible"] == {"50": 2.0, "90": 3.0, "99": None}


def test_nothing_possible_is_nothing_reached() -> None:
    assert time_to([sample(0.0, 5, 0, 0)], 50) is None


def test_a_run_without_samples_still_answers() -> None:
    tables = (columns.SERIES, columns.GUESTS, columns.MATRIX, columns.TIMING)
    result = Result(RUN, *(table([], names) for names in tables))
    assert result.summary["saved_mib"] == 0
    assert result.summary["pages_scanned_per_saved_mib"] is None
    assert result.summary["saved_percent_of_possible"] is None


def test_saved_and_opened_again_it_is_the_same(result: Result, tmp_path: Path) -> None:
    path = result.save(tmp_path / "runs" / "one")
    again = open_result(path)
    assert again.summary == result.summary
    assert again.timing.equals(result.timing)
    assert json.loads((path / "summary.json").read_text()) == result.summary
    assert [p.name for p in path.parent.iterdir()] == ["one"]


def test_the_same_tables_give_the_same_bytes(result: Result, tmp_path: Path) -> None:
    one, two = result.save(tmp_path / "1"), result.save(tmp_path / "2")
    for file in one.iterdir():
        assert file.read_bytes() == (two / file.name).read_bytes(), file.name


def test_a_full_disk_leaves_nothing(result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    def full(folder: Path, name: str, content: bytes) -> None:
        (folder / name).write_bytes(content[:10])
        written.append(name)
        if len(written) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(directory, "write_whole", full)
    with pytest.raises(VmdedupError, match="no space left for the results"):
        result.save(tmp_path / "one")
    assert len(written) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("run.json", None),
        ("run.json", b"{"),
        ("run.json", b"[]"),
        ("series.parquet", None),
        ("series.parquet", b"x"),
    ],
)
def test_what_is_no_run_is_refused(result: Result, tmp_path: Path, file: str, content: Any) -> None:
    path = result.save(tmp_path / "one")
    (path / file).unlink()
    if content is not None:
        (path / file).write_bytes(content)
    with pytest.raises(UsageError, match=r"run|JSON") as caught:
        open_result(path)
    assert "\n" not in str(caught.value)


def test_what_splits_of_huge_pages_freed_stands_beside_what_is_saved(result: Result) -> None:
    """Of real guests: 159.9 MiB saved and 63.7 MiB of uncounted zeros are what 223.6 MiB are without huge pages."""
    assert (result.summary["split_zero_mib"], result.summary["freed_mib"]) == (None, None)
    rows = [sample(1.0, 120, 30, 40) | {"split_zero_pages": 12 * MIB_PAGES}]
    real = Result(RUN, table(rows), result.guests, result.matrix, result.timing)
    assert (real.summary["split_zero_mib"], real.summary["freed_mib"]) == (12, 42)
    assert "split_zero_pages" not in real.summary["counters"]
    guests = [guest(name) | {"split_zero_pages": 6 * MIB_PAGES} for name in ("vm-0", "vm-1")]
    older = Result(RUN, result.series, table(guests), result.matrix, result.timing)
    assert (older.summary["split_zero_mib"], older.summary["freed_mib"]) == (12, 42)
