"""Standard streams that are full, closed, or read by nobody; signals that ask a command to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vmdedup.cli import run_command

COMMAND = [sys.executable, "-m", "vmdedup"]
QUICK = (["scenario", "list"], ["policy", "list", "--json"], ["--help"], ["run", "--help"], ["doctor"])


def shell(command: list[str], redirected: str, **more: object) -> subprocess.CompletedProcess[bytes]:
    """A command with its streams redirected as a shell does it."""
    line = ["bash", "-c", f'exec "$@" {redirected}', "bash", *COMMAND, *command]
    return subprocess.run(line, capture_output=True, timeout=120, check=False, **more)  # type: ignore[call-overload,no-any-return]


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dumps") / "a.raw"
    path.write_bytes(os.urandom(40960))
    return path


def one_line(error: bytes) -> str:
    text = error.decode()
    assert text.count("\n") == 1, text
    assert text.startswith("vmdedup: "), text
    return text


@pytest.mark.parametrize("command", QUICK, ids=" ".join)
@pytest.mark.parametrize(("where", "why"), [("> /dev/full", "No space left"), (">&-", "Bad file descriptor")])
def test_a_full_or_closed_stdout_is_one_line(command: list[str], where: str, why: str) -> None:
    done = shell(command, where)
    assert done.returncode == 1
    assert f"standard output cannot be written: {why}" in one_line(done.stderr)


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_scan_tells_of_a_full_stdout(dump: Path, as_json: list[str]) -> None:
    done = shell(["scan", *as_json, str(dump)], "> /dev/full")
    assert done.returncode == 1
    assert "No space left" in one_line(done.stderr)


@pytest.mark.parametrize("where", ["2> /dev/full", "2>&-", "<&- 2>&-"])
def test_stderr_that_cannot_be_written_changes_nothing(dump: Path, where: str) -> None:
    usual = shell(["scan", str(dump)], "")
    done = shell(["scan", str(dump)], where)
    assert (done.returncode, done.stdout) == (usual.returncode, usual.stdout) == (0, usual.stdout)
    assert shell(["scan", str(dump) + "x"], where).returncode == 2


def test_a_reader_who_has_gone_ends_us_quietly(dump: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*COMMAND, "scan", str(dump)], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_no_file_of_ours_gets_the_number_of_a_closed_stream(dump: Path, tmp_path: Path) -> None:
    """Else what is printed would go into the export."""
    export = tmp_path / "a.parquet"
    shell(["scan", "--hashes-only", str(export), "--salt", "x", str(dump)], "<&- >&- 2>&-")
    plain = tmp_path / "b.parquet"
    shell(["scan", "--hashes-only", str(plain), "--salt", "x", str(dump)], "")
    assert export.read_bytes() == plain.read_bytes()


def test_documents_are_utf8_whatever_a_file_is_called(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/bad\xff\x1b]0;x\x07.raw"
    with open(name, "wb") as file:
        file.write(os.urandom(4096))
    for options in (["--json"], []):
        done = subprocess.run([*COMMAND, "scan", *options, name], capture_output=True, check=False)
        assert done.returncode == 0
        assert done.stdout.decode().replace("\n", "").isprintable()
    missing = subprocess.run([*COMMAND, "scan", name + b"x"], capture_output=True, check=False)
    assert "bad\\xff\\x1b]0;x\\x07.rawx" in one_line(missing.stderr)


def test_a_current_folder_that_is_gone_is_no_traceback(dump: Path, tmp_path: Path) -> None:
    done = shell(["scan", "--json", str(dump)], "; true", cwd=tmp_path)
    assert done.returncode == 0
    line = f'cd {tmp_path} && mkdir gone && cd gone && rmdir ../gone && exec "$@"'
    for command in (["scan", str(dump)], ["scan", "a.raw"], ["scenario", "list"], ["run", "missing.toml"]):
        done = subprocess.run(["bash", "-c", line, "bash", *COMMAND, *command], capture_output=True, check=False)
        assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_end_a_command_in_one_line(number: signal.Signals, status: int, tmp_path: Path) -> None:
    fill = "import sys,time; sys.stdin.buffer.read()"
    process = subprocess.Popen([sys.executable, "-c", fill], stdin=subprocess.PIPE)
    assert process.stdin is not None
    command = [*COMMAND, "record", f"pid:{process.pid}", "-o", str(tmp_path / "a.rec"), "--interval", "1h"]
    ours = subprocess.Popen([*command, "--all", "-q"], stderr=subprocess.PIPE)
    try:
        while not (tmp_path / "a.rec").exists():
            time.sleep(0.01)
        time.sleep(0.5)
        ours.send_signal(number)
        _, error = ours.communicate(timeout=60)
    finally:
        ours.kill()
        process.stdin.close()
        process.wait()
    assert ours.returncode == status
    assert "interrupted" in one_line(error)


def test_a_mistake_of_ours_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(arguments: object) -> None:
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr("vmdedup.cli.quick.run", fail)
    assert run_command(["scenario", "list"]) == 1
    error = one_line(capsys.readouterr().err.encode())
    assert "ZeroDivisionError: by zero" in error
    assert "test_streams.py" in error
    monkeypatch.setenv("VMDEDUP_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        run_command(["scenario", "list"])
