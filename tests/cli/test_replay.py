"""vmdedup replay: stdout holds the JSON lines and nothing else, and what differs is shown."""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest

from vmdedup.cli import replay as command
from vmdedup.cli import run_command
from vmdedup.errors import EnvironmentLacksError
from vmdedup.replay.emulated import EmulatedMachine, emulated
from vmdedup.replay.play import play
from vmdedup.replay.script import Script, parse_text

GOLDEN = Path(__file__).parent.parent / "golden"


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
    def machine(place: str, script: Script) -> EmulatedMachine:
        return emulated(script, None) if place == "emulator" else second(script)

    monkeypatch.setattr(command, "machine", machine)


SCRIPT = "vm a 4\nfill a 0..3 seed 1\ncounters\npass\ncounters\ndigest\n"


def test_as_another_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "vm a 2\nvm b 1\nfill a 0..1 seed 1\npass 2\nfill b 0 seed 1\npass\ncounters\nset smart_scan 1\n"
    sharing = {}
    for version in ("6.1", "6.18"):
        assert run_command(["replay", write(tmp_path, text), "--kernel", version]) == 0
        first, *others = map(json.loads, capsys.readouterr().out.splitlines())
        sharing[version] = first["pages_sharing"], first["pages_scanned"], [other["error"] for other in others]
    assert sharing == {"6.1": (2, None, ["ENOENT"]), "6.18": (1, 7, [])}


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--kernel", "six"], "is none that is known"), (["--kernel", "6.1", "--on", "kernel"], "leave it out with --on")],
)
def test_what_version_cannot_be(
    options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["replay", write(tmp_path, SCRIPT), *options]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


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


def test_a_script_comes_from_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = io.TextIOWrapper(io.BytesIO((GOLDEN / "basic-1.ksm").read_bytes()))
    monkeypatch.setattr(sys, "stdin", given)
    assert run_command(["replay", "-"]) == 0
    assert capsys.readouterr().out == (GOLDEN / "basic-1.jsonl").read_text()


def test_what_differs_is_shown_of_standard_input_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    two_machines(monkeypatch, Forgetful)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(SCRIPT.encode())))
    assert run_command(["replay", "-", "--on", "both"]) == 3
    assert "line 5 differs: counters" in capsys.readouterr().err


def test_closed_standard_input_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert run_command(["replay", "-"]) == 2
    assert capsys.readouterr().err == "vmdedup: standard input is closed; give a KSM script's file\n"


def test_numbers_of_any_length_are_refused_as_the_kernel_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nines = "9" * 5000
    text = f"set pages_to_scan {nines}\nset max_page_sharing -{nines}\nset pages_to_scan {'0' * 5000}7\n"
    assert run_command(["replay", write(tmp_path, text)]) == 0
    assert capsys.readouterr().out == '{"line": 1, "error": "EINVAL"}\n{"line": 2, "error": "ERANGE"}\n'


def test_two_thousand_processes_take_neither_processes_nor_descriptors() -> None:
    """A limit that leaves room for a few files, where each process of the script would need one."""
    text = "".join(f"vm p{n} 2\nfill p{n} 0..1 seed {n % 5}+\n" for n in range(2000)) + "pass 2\ncounters\n"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(map(int, os.listdir("/proc/self/fd")))
    children = active_children()
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 16, hard))
    try:
        script = parse_text(text, Path())
        with EmulatedMachine(script) as machine:
            (line,) = play(script, machine)
            assert active_children() == children
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    counters = json.loads(line)
    assert len(counters["vms"]) == 2000
    assert counters["pages_shared"] + counters["pages_sharing"] == 4000


def test_more_processes_than_the_emulator_holds_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "".join(f"vm p{n} 1\nexit p{n}\n" for n in range(65534))
    assert run_command(["replay", write(tmp_path, text)]) == 1
    said = capsys.readouterr().err
    assert said.endswith("has 65534 processes, the emulator at most 65533; split the script\n")
    assert said.count("\n") == 1


@pytest.mark.kernel
def test_on_the_kernel_the_limit_of_open_files_is_raised(tmp_path: Path) -> None:
    """Two descriptors for each living process of the script."""
    script = write(tmp_path, "".join(f"vm p{n} 1\n" for n in range(40)) + "counters\n")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 4096))

    command = [sys.executable, "-m", "vmdedup", "replay", script, "--on", "kernel"]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, timeout=300)
    if done.returncode == EnvironmentLacksError.exit_status:
        pytest.skip(done.stderr)
    assert done.stderr == ""
    assert len(json.loads(done.stdout)["vms"]) == 40
