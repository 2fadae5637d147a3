"""The directory of a run: taken at its beginning, rows on disk while it goes on, results there whatever ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kit.drill_commands import TINY
from vmdedup.errors import UsageError, VmdedupError
from vmdedup.result import columns
from vmdedup.result.directory import RUNNING, RunDirectory, TakenError
from vmdedup.result.opening import open_result
from vmdedup.result.run import Result
from vmdedup.result.tables import table

ROW = dict.fromkeys(columns.SERIES, 0) | {"time_s": 0.0, "ksmd_cpu_s": 0.0}
TIMING = dict.fromkeys(columns.TIMING, 0.0)
RUN = {"name": "tiny", "seed": 1, "clock": "lockstep", "page_size": 4096, "ended": "running", "scenario": {}}


def fill(path: Path, rows: int) -> RunDirectory:
    """A run that has taken so many rows."""
    directory = RunDirectory(path)
    directory.begin(RUN)
    for number in range(rows):
        directory.add("series", ROW | {"time_s": float(number), "saved_pages": 10 * number})
        directory.add("timing", TIMING | {"time_s": float(number)})
    directory.add("events", {"time_s": 1.0, "text": "something"})
    return directory


def whole() -> Result:
    """A result with one row and no guests."""
    series, timing = table([ROW], columns.SERIES), table([TIMING], columns.TIMING)
    guests, matrix = table([], columns.GUESTS), table([], columns.MATRIX)
    return Result(RUN | {"ended": "complete", "events": []}, series, guests, matrix, timing)


def test_the_name_is_taken_at_once(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "one"):
        for again in (RunDirectory, lambda path: RunDirectory(path, new=True)):
            with pytest.raises(TakenError, match="--output"):
                again(tmp_path / "one")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_one_is_used_and_stays(tmp_path: Path) -> None:
    place = tmp_path / "volume"
    (place / "lost+found").mkdir(parents=True)
    with RunDirectory(place):
        pass
    assert os.listdir(place) == ["lost+found"]
    whole().save(place)
    assert open_result(place).run["ended"] == "complete"


@pytest.mark.parametrize("kind", ["file", "full", "file/below", "dangling", "n" * 256, "z\0"])
def test_where_no_directory_can_be(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    (tmp_path / "dangling").symlink_to("nowhere")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(UsageError, match="--output"):
        RunDirectory(tmp_path / kind)
    assert sorted(os.listdir(tmp_path)) == before


def test_a_name_of_255_letters_holds_results(tmp_path: Path) -> None:
    assert open_result(whole().save(tmp_path / ("n" * 255))).summary["ended"] == "complete"


def test_rows_of_a_killed_run_are_read(tmp_path: Path) -> None:
    directory = fill(tmp_path / "one", 3)
    with (tmp_path / "one" / "series.jsonl").open("ab") as file:
        file.write(b'{"time_s": 3.0, "sav')  # it was killed in the middle of a row
    found = open_result(tmp_path / "one")
    assert found.run["ended"] == "killed"
    assert found.series["saved_pages"].to_list() == [0, 10, 20]
    assert found.summary["events"] == [{"time_s": 1.0, "text": "something"}]
    directory.close()


@pytest.mark.parametrize(("rows", "left"), [(0, False), (1, False), (2, True)])
def test_without_results_rows_stay_that_are_worth_it(tmp_path: Path, rows: int, left: bool) -> None:
    directory = fill(tmp_path / "one", rows)
    assert directory.keeps_rows == left
    directory.close()
    assert (tmp_path / "one").exists() == left
    if left:
        assert open_result(tmp_path / "one").series.height == rows


def test_results_take_the_place_of_rows(tmp_path: Path) -> None:
    with fill(tmp_path / "one", 3) as directory:
        whole().save_into(directory)
    names = {"run.json", "summary.json", *(f"{name}.parquet" for name in ("series", "guests", "matrix", "timing"))}
    assert set(os.listdir(tmp_path / "one")) == names


@pytest.mark.parametrize(("file", "content"), [("series.jsonl", b"[1]\n"), ("series.jsonl", b"{\n"), (RUNNING, b"x")])
def test_damaged_rows_are_one_line(tmp_path: Path, file: str, content: bytes) -> None:
    fill(tmp_path / "one", 2).close()
    (tmp_path / "one" / file).write_bytes(content)
    with pytest.raises(UsageError) as caught:
        open_result(tmp_path / "one")
    assert "\n" not in str(caught.value)


def test_a_full_disk_in_mid_run_does_not_end_it(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "one")
    directory.begin(RUN)
    directory._files["series"].close()
    directory._files["series"] = open("/dev/full", "ab", buffering=0)  # noqa: SIM115
    for _ in range(3):
        directory.add("series", ROW)
    assert "no space left" in directory.trouble
    with directory:
        whole().save_into(directory)
    assert open_result(tmp_path / "one").run["ended"] == "complete"


def command(folder: Path, *options: str) -> list[str]:
    """A run of a tiny scenario that would go on for long."""
    (folder / "tiny.toml").write_text(TINY)
    return [sys.executable, "-m", "vmdedup", "run", str(folder / "tiny.toml"), "-o", str(folder / "out"), *options]


def rows_of(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for_rows(process: subprocess.Popen[bytes], folder: Path, count: int = 5) -> None:
    """Until a run has taken so many rows."""
    while rows_of(folder / "out" / "series.jsonl") < count:
        assert process.poll() is None
        time.sleep(0.02)


@pytest.mark.compiled
def test_a_killed_run_loses_a_moment(tmp_path: Path) -> None:
    process = subprocess.Popen(command(tmp_path, "-q"))
    wait_for_rows(process, tmp_path)
    process.kill()
    process.wait()
    assert open_result(tmp_path / "out").series.height >= 5


@pytest.mark.compiled
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("whole_group", [False, True])
def test_signals_keep_results(tmp_path: Path, number: signal.Signals, status: int, whole_group: bool) -> None:
    """As from a terminal or systemd, the signal may reach every process of the run."""
    (tmp_path / "temporary").mkdir()
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary")}
    process = subprocess.Popen(command(tmp_path), stderr=subprocess.PIPE, start_new_session=True, env=environment)
    wait_for_rows(process, tmp_path)
    os.killpg(process.pid, number) if whole_group else process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == status
    assert f"interrupted; the results so far are in {tmp_path / 'out'}" in error.decode()
    found = open_result(tmp_path / "out")
    assert found.run["ended"] == "interrupted"
    assert {row["state"] for row in found.guests.to_dicts()} == {"running"}
    assert os.listdir(tmp_path / "temporary") == []


@pytest.mark.compiled
@pytest.mark.parametrize("where", ["> /dev/full", ">&-", "2> /dev/full", ">&- 2>&-"])
def test_results_are_there_whatever_the_streams_are(tmp_path: Path, where: str) -> None:
    line = ["bash", "-c", f'exec "$@" {where}', "bash", *command(tmp_path, "--duration", "1s")]
    done = subprocess.run(line, capture_output=True, timeout=120, check=False)
    assert open_result(tmp_path / "out").run["ended"] == "complete"
    assert b"Traceback" not in done.stderr
    assert done.returncode == (0 if where.startswith("2") else 1)


@pytest.mark.compiled
@pytest.mark.parametrize(("clock", "which"), [("wall", 0), ("wall", 1), ("lockstep", 0)])
def test_a_stopped_process_does_not_keep_a_run_from_ending(tmp_path: Path, clock: str, which: int) -> None:
    """which: in the order of starts, ksmd and then the guests."""
    process = subprocess.Popen(command(tmp_path, "-q", "--clock", clock), stderr=subprocess.PIPE)
    try:
        wait_for_rows(process, tmp_path)
        os.kill(workers(process.pid)[which], signal.SIGSTOP)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, error.decode()
    assert open_result(tmp_path / "out").run["ended"] == "interrupted"


def test_policies_of_one_name_have_a_folder_each() -> None:
    from vmdedup.cli.several import labels_of

    assert labels_of(["q1/p.py", "q2/p.py", "ksm", "q3/p.py"]) == ["p", "p-2", "ksm", "p-3"]


@pytest.mark.compiled
def test_runs_that_start_in_one_second_are_all_kept(tmp_path: Path) -> None:
    words = command(tmp_path, "-q", "--duration", "300ms")
    words = [word for word in words if word not in ("-o", str(tmp_path / "out"))]
    runs = [subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [run.wait() for run in runs] == [0] * 4
    kept = list((tmp_path / "runs").iterdir())
    assert len(kept) == 4
    assert all(json.loads((path / "run.json").read_text())["ended"] == "complete" for path in kept)


def test_a_refused_directory_is_found_before_anything_is_run(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("")
    done = subprocess.run(command(tmp_path), capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().count("\n") == 1


def test_results_that_cannot_be_kept_are_shown_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    from vmdedup.cli.keeping import kept_first

    class Full:
        def finish(self, files: object) -> None:
            raise VmdedupError("no space left")

    with pytest.raises(VmdedupError, match="no space left"), kept_first(whole(), Full()):  # type: ignore[arg-type]
        print("shown")
    assert capsys.readouterr().out == "shown\n"


def workers(pid: int) -> list[int]:
    """The processes that a run's fork server has made, in the order of their starts."""
    below = [children(child) for child in children(pid)]
    return sorted(sorted(below, key=len)[-1])


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
