"""vmdedup learn: what it says and foretells, what it flags, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kit.kinds import KnownKind
from vmdedup.cli import run_command

KIND, OTHER = KnownKind(), KnownKind(seed=9, common=100, own=80)


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert run_command(["learn", "--json", *words]) == 0
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    return said


def test_what_further_boots_save_is_foretold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dumps = KIND.write(tmp_path, 1, 2, 3, 4, 5, 6)
    said = answer(capsys, *dumps[:2], *(word for each in dumps[2:] for word in ("--check", each)))
    check = said["check"]
    assert (check["cases"], check["inside"]) == (8, 8)
    assert [row["guests"] for row in check["rows"]] == [1, 2, 3, 4, 3, 4, 5, 6]
    for row in check["rows"]:
        assert row["foretold_percent"] == pytest.approx(row["saved_percent"], abs=3)
        assert row["high_percent"] - row["low_percent"] < 15
    by_hand = said["classes"]
    assert by_hand["zero_percent"] == pytest.approx(100 * KIND.zero / KIND.pages)
    assert by_hand["within_percent"] == pytest.approx(100 * (KIND.repeated - 1) / KIND.pages)
    assert len(said["forecast"]) == 6
    assert not said["flagged"]


def test_another_workload_is_flagged_and_not_guessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dumps, other = KIND.write(tmp_path, 1, 2, 3), OTHER.write(tmp_path, 1)
    said = answer(capsys, *dumps[:2], "--check", other[0], "--check", dumps[2])
    assert [each["other_kind"] for each in said["check"]["dumps"]] == [True, False]
    assert said["check"]["cases"] == 2
    assert run_command(["learn", *dumps[:2], "--check", other[0]]) == 0
    assert f"flagged: {other[0]} is of another kind: 100% of its contents are new" in capsys.readouterr().out
    said = answer(capsys, dumps[0], other[0], dumps[1])
    assert [each["name"] for each in said["flagged"]] == other
    assert [boot["name"] for boot in said["boots"]] == [Path(each).name for each in dumps[:2]]


def test_one_boot_says_what_cannot_be_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = answer(capsys, *KIND.write(tmp_path, 1), "--guests", "2")
    one, two = said["forecast"]
    assert one["saved_percent"] == pytest.approx(100 * (KIND.zero + KIND.repeated - 2) / KIND.pages)
    assert (two["saved_mib"], two["between_mib"], two["saved_percent"]) == (None, None, None)
    assert two["low_percent"] < 20 < 50 < two["high_percent"]
    assert run_command(["learn", *KIND.write(tmp_path, 1)]) == 0
    text = capsys.readouterr().out
    assert "from one boot nobody can know what others share" in text
    assert "?" in text


def test_interrupted(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmdedup.cli.learn.Interrupt.__call__", lambda self: True)
    assert run_command(["learn", *KIND.write(tmp_path, 1, 2), "-o", str(tmp_path / "web.guest")]) == 130
    assert capsys.readouterr().err == "vmdedup: interrupted; nothing is written\n"
    assert not (tmp_path / "web.guest").exists()


def test_many_guests_of_many_boots_take_no_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = KnownKind(common=6, own=3, drawn=2, files=4, zero=1, repeated=2)
    said = answer(capsys, *small.write(tmp_path, *range(40)), "--guests", "512")
    assert len(said["forecast"]) == 512
    saved = [row["saved_percent"] for row in said["forecast"]]
    assert saved == sorted(saved)


def test_exported_hashes_are_learnt_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dumps = KIND.write(tmp_path, 1, 2)
    exports = []
    for each in dumps:
        exports.append(each.replace(".raw", ".parquet"))
        assert run_command(["scan", each, "--hashes-only", exports[-1], "--salt", "x", "-q"]) == 0
    capsys.readouterr()
    known, hashed = answer(capsys, *dumps), answer(capsys, *exports, "-o", str(tmp_path / "h.guest"))
    assert hashed["forecast"][1]["saved_percent"] == pytest.approx(known["forecast"][1]["saved_percent"])
    widths = [row["high_percent"] - row["low_percent"] for each in (known, hashed) for row in each["forecast"][-1:]]
    assert widths[0] < widths[1]  # of hashes, it is not known which hold addresses
    assert answer(capsys, "--show", str(tmp_path / "h.guest"))["forecast"] == hashed["forecast"]


WRONG: dict[str, tuple[list[str], str]] = {
    "nothing": ([], "nothing to learn from; name at least one dump"),
    "show and learn": (["{a}", "--show", "x"], "--show learns nothing"),
    "no model": (["--show", "{a}"], "is no model of guests"),
    "twice the same": (["{a}", "{a}"], "is the same file as"),
    "checked with itself": (["{a}", "{b}", "--check", "{b}"], "is the same file as"),
    "checked from one": (["{a}", "--check", "{b}"], "from one boot nothing is foretold that could be checked"),
    "into what it reads": (["{a}", "{b}", "-o", "{b}", "--force"], "is read by this very command"),
    "into another's file": (["{a}", "{b}", "-o", "{c}"], "is there already; choose another file, or replace it"),
    "of two sizes": (["{a}", "{short}"], "learn them apart"),
    "a model": (["{a}", "{guest}"], "is a model of guests"),
}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    paths = dict(zip("abc", KIND.write(tmp_path, 1, 2, 3), strict=True))
    paths |= {"short": str(tmp_path / "short.raw"), "guest": str(tmp_path / "web.guest")}
    Path(paths["short"]).write_bytes(KIND.boot(4)[:-8].tobytes())
    assert run_command(["learn", paths["a"], paths["b"], "-q", "-o", paths["guest"]]) == 0
    return paths


def test_what_is_refused(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    for name, (words, message) in WRONG.items():
        assert run_command(["learn", *(word.format(**files) for word in words)]) == 2, name
        said = capsys.readouterr()
        assert message in said.err, name
        assert said.err.count("\n") == 1, name
    assert run_command(["learn", files["a"], files["b"], "-q", "-o", files["guest"]]) == 0  # its own it replaces
    assert capsys.readouterr().out == ""
