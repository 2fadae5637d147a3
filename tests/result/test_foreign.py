"""Parquet files of others, decoded: whatever becomes of the process that does it is one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import vmdedup.ours.child as ours
from kit.compared import result
from kit.scan_oracle import page, write_raw
from vmdedup.cli import run_command
from vmdedup.errors import EnvironmentLacksError, UsageError
from vmdedup.inputs import open_input
from vmdedup.result import decoding, foreign
from vmdedup.result.foreign import ForeignTable, read_tables
from vmdedup.scan import scan_dumps

PACKAGE = Path(foreign.__file__).parent.parent
ENOUGH = 60.0
STUB = "import os, socket, signal, sys, time\nos.write(1, b'r')\nasked = socket.socket(fileno=0).recv(1 << 16)\n"


@contextmanager
def opened(path: Path) -> Iterator[ForeignTable]:
    """A file as a table."""
    descriptor = open_input(path, error=UsageError)
    try:
        with ForeignTable(descriptor) as table:
            yield table
    finally:
        os.close(descriptor)


def written(path: Path, **columns: Any) -> Path:
    """A table with these columns, as a file."""
    pl.DataFrame(columns).write_parquet(path, row_group_size=1000)
    return path


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have another program in the place of the decoder."""

    def replace(code: str) -> None:
        monkeypatch.setattr(ours, "python_module", lambda *_: [sys.executable, "-c", code])

    return replace


def children() -> list[str]:
    """What this process has started and not waited for."""
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def test_parts_are_the_rows_of_the_table(tmp_path: Path) -> None:
    numbers, names = list(range(5000)), [None if n % 7 == 0 else f"guest-{n}" for n in range(5000)]
    path = written(tmp_path / "a.parquet", number=numbers, name=names)
    with opened(path) as table:
        assert (table.rows, table.columns, table.mark) == (5000, {"number": "Int64", "name": "String"}, "")
        for first, after in ((0, 5000), (999, 1001), (4990, 5000), (7, 7)):
            part = table.part(["name", "number"], first, after)
            assert part.to_dict(as_series=False) == {"name": names[first:after], "number": numbers[first:after]}
        with pytest.raises(UsageError, match="rows are missing"):
            table.part(["number"], 4990, 5001)
        with pytest.raises(UsageError):
            table.part(["no such"], 0, 1)
        assert len(table.part(["number"], 0, 1)) == 1  # whoever asked that may ask on


def test_large_tables_come_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one frame, and no answer is longer than a part."""
    numbers = list(range(5000))
    path = written(tmp_path / "a.parquet", number=numbers, text=[f"{n} bottles of beer on the wall" for n in numbers])
    empty = written(tmp_path / "b.parquet", number=pl.Series([], dtype=pl.Int64))
    monkeypatch.setattr(foreign, "_PART_CELLS", 400)
    monkeypatch.setattr(decoding, "LONGEST", 50_000)
    whole, none = read_tables([path, empty])
    assert whole.equals(pl.read_parquet(path))
    assert none.schema == {"number": pl.Int64}
    monkeypatch.setattr(foreign, "_PART_CELLS", 10_000)
    with pytest.raises(UsageError, match="what it holds takes more than 0 MiB"):
        read_tables([path])


def test_a_table_of_very_many_columns(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", **{f"{number:0200}": [number] for number in range(3000)})
    (whole,) = read_tables([path])
    assert whole.row(0) == tuple(range(3000))


def test_one_process_for_all_files_which_ends_with_the_last(tmp_path: Path) -> None:
    before = children()
    paths = [written(tmp_path / f"{name}.parquet", number=[1]) for name in "abc"]
    with opened(paths[0]), opened(paths[1]):
        assert len(children()) == len(before) + 1
        assert len(read_tables(paths)) == 3
        assert len(children()) == len(before) + 1
    assert children() == before


def test_what_is_compared_is_decoded_by_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [str(result().save(tmp_path / name)) for name in "abc"]
    started: list[str] = []
    made = ours.python_module

    def command(name: str, *arguments: str) -> list[str]:
        started.append(name)
        return made(name, *arguments)

    monkeypatch.setattr(ours, "python_module", command)
    assert run_command(["compare", *paths]) == 0
    assert started == ["vmdedup.result.decoder"]


def test_what_takes_all_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few kilobytes that are a hundred million."""
    monkeypatch.setattr(decoding, "MEMORY", 128 << 20)
    path = tmp_path / "series.parquet"
    pl.DataFrame({"guest": ["x" * (100 << 20)]}).write_parquet(path)
    assert path.stat().st_size < 1 << 20
    good = written(tmp_path / "good.parquet", number=[1])
    before = children()
    with opened(good) as table:
        with pytest.raises(UsageError, match=r"series.parquet is not .* it is damaged, or .* takes more than 128 MiB"):
            read_tables([path])
        assert len(table.part(["number"], 0, 1)) == 1  # by another process
    assert children() == before


def test_a_file_that_becomes_shorter(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", number=list(range(100_000)))
    with opened(path) as table:
        os.truncate(path, 5000)
        with pytest.raises(UsageError):
            table.part(["number"], 0, 100_000)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("os.abort()", "it is damaged, or decoding it takes more than 1024 MiB of memory or 20 s"),
        ("os.kill(os.getpid(), signal.SIGXCPU)", "it is damaged, or decoding it takes more than"),
        ("os.write(1, bytes(3))", "it is damaged"),
        ("os.write(1, b'\\xff' * 8); time.sleep(600)", "it is damaged"),
        ("os.write(1, bytes(8)); time.sleep(600)", "it is damaged"),
        ("time.sleep(600)", "decoding it takes more than 1 s"),
        ("os.write(1, b'\\5' + bytes(7) + b'hal'); time.sleep(600)", "decoding it takes more than 1 s"),
    ],
)
def test_whatever_becomes_of_the_process(
    what: str,
    words: str,
    tmp_path: Path,
    replaced: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Of an export and of results alike: one line, exit status 2, no process left."""
    scan_dumps([write_raw(tmp_path / "a.raw", [page(2)])], salt="x", hashes_only=tmp_path / "a.parquet")
    saved = result().save(tmp_path / "run")
    before = children()
    if "1 s" in words:
        monkeypatch.setattr(decoding, "PATIENCE", 1.0)
    replaced(STUB + what)
    for command in (["scan", str(tmp_path / "a.parquet")], ["compare", str(saved), str(saved)]):
        capfd.readouterr()
        assert run_command(command) == 2
        told = capfd.readouterr()
        assert told.out == ""
        assert words in told.err
        assert told.err.count("\n") == 1
        assert children() == before


def test_no_process_is_not_the_file_s_fault(
    tmp_path: Path, replaced: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.parquet", number=[1])
    replaced("raise SystemExit(1)")
    with pytest.raises(EnvironmentLacksError, match="it ended at once"):
        read_tables([path])
    monkeypatch.setattr(ours, "python_module", lambda *_: ["/no/such/python"])
    with pytest.raises(EnvironmentLacksError, match="there is none: No such file"):
        read_tables([path])


def test_a_question_that_is_broken_off_answers_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while an answer is waited for: the next question gets its own."""
    path = written(tmp_path / "a.parquet", number=list(range(10)))

    def interrupted(*_: Any) -> bytes:
        raise KeyboardInterrupt

    with opened(path) as table:
        with monkeypatch.context() as patched:
            patched.setattr(decoding._Process, "_read", interrupted)
            with pytest.raises(KeyboardInterrupt):
                table.part(["number"], 0, 1)
        assert table.part(["number"], 5, 6)["number"].to_list() == [5]


def test_signals_of_the_terminal_are_not_the_decoder_s(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", number=[1])
    with opened(path) as table:
        process = decoding.DECODER._process
        assert process is not None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(process._process.pid, number)
        assert len(table.part(["number"], 0, 1)) == 1
        assert decoding.DECODER._process is process


def test_whoever_asks_is_killed(tmp_path: Path) -> None:
    """The decoder ends too."""
    path = written(tmp_path / "a.parquet", number=[1])
    code = (
        "import os, sys\nfrom vmdedup.result.decoding import DECODER\nfrom vmdedup.result.foreign import ForeignTable\n"
    )
    code += f"table = ForeignTable(os.open({str(path)!r}, os.O_RDONLY))\n"
    code += "print(DECODER._process._process.pid, flush=True)\nos.kill(os.getpid(), 9)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=ENOUGH, check=False)
    assert done.returncode == -signal.SIGKILL
    pid, end = int(done.stdout), time.monotonic() + ENOUGH
    while Path(f"/proc/{pid}/stat").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_nobody_else_decodes() -> None:
    """What goes round the process fails here. read_ipc_stream is of its answers."""
    allowed = {"result/decoder.py": {"read_parquet", "scan_parquet"}, "result/tables.py": {"read_ipc"}}
    for path in PACKAGE.rglob("*.py"):
        text, place = path.read_text(), str(path.relative_to(PACKAGE))
        for name in ("read_parquet", "scan_parquet", "read_ipc", "scan_ipc", "pyarrow", "fastparquet", "read_csv"):
            assert name not in text or name in allowed.get(place, set()), f"{place} has {name}; see result/foreign.py"
