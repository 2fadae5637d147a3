"""vmdedup replay: stdout holds the JSON lines and nothing else, and what differs is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vmdedup.cli import replay as command
from vmdedup.cli import run_command
from vmdedup.replay.emulated import EmulatedMachine
from vmdedup.replay.script import Script

GOLDEN = Path(__file__).parent / "golden"


def write(folder: Path, text: str) -> str:
    path = folder / "script.ksm"
    path.write_text(text)
    return str(path)


def test_a_golden_script_prints_the_recorded_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["replay", str(GOLDEN / "basic-1.ksm")]) == 0
    captured = capsys.readouterr()
    assert captured.out == (GOLDEN / "basic-1.jsonl").read_text()
    assert captured.err == ""


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("vm a 4\njump a\n", "script.ksm:2: unknown step 'jump'"),
        ("vm a 4\nread a 4\n", "script.ksm:2: page 4 is out of range"),
        ("vm a 4\nvm a 4\n", "script.ksm:2: name 'a' is used twice"),
    ],
)
def test_a_bad_script_is_one_line(
    text: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["replay", write(tmp_path, text)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("vmdedup: ")
    assert complaint in captured.err
    assert captured.err.count("\n") == 1


def test_a_missing_script_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["replay", str(tmp_path / "none.ksm")]) == 2
    assert "No such file" in capsys.readouterr().err


class Forgetful(EmulatedMachine):
    """Another machine, which miscounts from the second question on."""

    asked = 0

    def counters(self) -> dict[str, Any]:
        self.asked += 1
        return super().counters() | ({"pages_shared": 99} if self.asked > 1 else {})


def two_machines(monkeypatch: pytest.MonkeyPatch, second: type[EmulatedMachine]) -> None:
    def machine(on: command.On, script: Script) -> EmulatedMachine:
        return EmulatedMachine(script) if on is command.On.emulator else second(script)

    monkeypatch.setattr(command, "_machine", machine)


SCRIPT = "vm a 4\nfill a 0..3 seed 1\ncounters\npass\ncounters\ndigest\n"


def test_both_and_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    two_machines(monkeypatch, EmulatedMachine)
    assert run_command(["replay", write(tmp_path, SCRIPT), "--on", "both"]) == 0
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 3
    assert captured.err == ""


def test_both_and_different(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    two_machines(monkeypatch, Forgetful)
    assert run_command(["replay", write(tmp_path, SCRIPT), "--on", "both"]) == 3
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    assert "line 5 differs: counters" in captured.err
    assert "* pages_shared" in captured.err
    assert "99" in captured.err
