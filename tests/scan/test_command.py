"""The command: the document, the text, refusals, Ctrl-C, what is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kit.scan_oracle import PAGE, check, check_places, page, write_raw
from vmdedup.cli import quick, run_command
from vmdedup.scan.reading import WORTH_FORKING

COMMAND = [sys.executable, "-m", "vmdedup", "scan"]
ENOUGH = 60.0


def scan(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=ENOUGH)


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    """Two raw dumps, large enough that two processes share the work; most of them is hole."""
    paths = [tmp_path / "a.raw", tmp_path / "b.raw"]
    for at, path in enumerate(paths):
        write_raw(path, pages_of(at))
        os.truncate(path, PAGE * WORTH_FORKING)
    return paths


def pages_of(dump: int) -> list[bytes]:
    """The pages of dump 0 or 1 before its hole."""
    return [page(n * (1 + dump) % 37) for n in range(80)]


def test_two_processes_count_as_one(two: list[Path]) -> None:
    dumps = [pages_of(at) + [page(0)] * (WORTH_FORKING - 80) for at in (0, 1)]
    halved = scan("--json", *two)
    assert (halved.returncode, halved.stderr) == (0, "")
    document = json.loads(halved.stdout)
    check(document, dumps)
    check_places(document, dumps)
    alone = scan("--json", "--threads", 1, *two)
    assert alone.stdout == halved.stdout
    in_memory = scan("--json", "--memory-limit", "64MiB", *two)
    assert in_memory.stdout == halved.stdout


def test_the_document(two: list[Path]) -> None:
    text = scan(*two, "--json").stdout
    document = json.loads(text)
    assert text == json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert document["schema_version"] == 1
    for figures in (document["total"], *document["dumps"]):
        assert {"pages", "absent", "zero", "distinct", "shared", "sharing"} <= set(figures)
    assert document["total"]["pages"] == 2 * WORTH_FORKING


def test_the_text(two: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["scan", *map(str, two)]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    for words in ("2 dumps, 32,768 pages, 128.0 MiB", "shares with", "0xcc all over", "0.1 MiB between dumps"):
        assert words in told.out
    assert "\x1b" not in told.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{0}", "{0}/../a.raw"], "No such file|Not a directory"),
        (["{0}", "{0}"], "is the same file as"),
        (["{0}", "--sample", "10%"], "--sample is of --subpage"),
        (["{0}", "--subpage", "--detector", "2,0,1"], "three numbers from 1 on"),
        (["{0}", "--subpage", "--sample", "200%"], "not between 0% and 100%"),
        (["{0}", "--memory-limit", "much"], "write a size like"),
        (["{0}", "--hashes-only", "{0}/x/y.parquet"], "cannot be written: Not a directory; choose another file"),
        (["pid:0x1"], "name a process by its number"),
        (["domain:no such guest"], "no such guest is running"),
    ],
)
def test_refusals(two: list[Path], capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    assert run_command(["scan", *(argument.format(*two) for argument in arguments)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert any(word in told.err for word in words.split("|")), told.err


def test_what_is_not_plain_is_left_to_typer(monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in ([], ["scan"], ["scan", "--json"], ["scan", "-h"], ["scan", "a", "--top", "1"], ["run", "a"]):
        assert quick.run(arguments) is None
    monkeypatch.setenv("VMDEDUP_SALT", "x")
    assert quick.run(["scan", "a.raw"]) is None


def test_a_plain_scan_loads_nothing_heavy(two: list[Path]) -> None:
    code = f"from vmdedup.cli import run_command; run_command(['scan', '--json', {str(two[0])!r}])"
    code += "\nimport sys\nprint('LOADED', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.rpartition("LOADED")[2].split()
    assert not {"numpy", "numba", "polars", "typer", "rich", "threading"} & set(loaded)


@contextmanager
def scanning_for_long(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A scan of a terabyte of hole, once two processes are at it; and the second one."""
    path = tmp_path / "huge.raw"
    path.touch()
    os.truncate(path, 1 << 40)
    process = subprocess.Popen([*COMMAND, "--json", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_for(lambda: bool(children.read_text().split()))
        yield process, int(children.read_text().split()[0])
    finally:
        process.kill()
        process.communicate()


def wait_for(happened: Callable[[], bool]) -> None:
    """Until it has; fails if that takes too long."""
    end = time.monotonic() + ENOUGH
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Whether a process has ended, buried or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_ctrl_c_gives_the_figures_so_far(tmp_path: Path) -> None:
    with scanning_for_long(tmp_path) as (process, child):
        process.send_signal(signal.SIGINT)
        text, errors = process.communicate(timeout=ENOUGH)
        assert process.returncode == 130
        assert is_gone(child)
    document = json.loads(text)
    total = document["total"]
    assert document["partial"] is True
    assert 0 <= total["read"] < total["pages"] == 1 << 28
    assert total["zero"] == total["read"]
    assert errors == f"vmdedup: interrupted: the figures are of {total['read']} pages of {1 << 28}\n"


def test_progress_on_a_terminal(tmp_path: Path) -> None:
    terminal, theirs = os.openpty()
    path = tmp_path / "huge.raw"
    path.touch()
    os.truncate(path, 1 << 40)
    with subprocess.Popen([*COMMAND, "--json", path], stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        try:
            shown = b""
            while b"%" not in shown:
                shown += os.read(terminal, 1000)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=ENOUGH)
    os.close(terminal)
    assert b"of 268,435,456 pages" in shown
    assert process.returncode == 130


def test_nobody_outlives_a_killed_scan(tmp_path: Path) -> None:
    with scanning_for_long(tmp_path) as (process, child):
        process.kill()
        process.wait()
        wait_for(lambda: is_gone(child))
