"""What scan is given: standard input, folders, pipes and devices, more files than may be open, names of any bytes."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from kit.scan_oracle import PAGE, check, page, write_raw
from vmdedup.errors import DumpError, EnvironmentLacksError, UsageError
from vmdedup.inputs import open_input
from vmdedup.limits import SPARE, need_descriptors
from vmdedup.scan import scan_dumps
from vmdedup.scan.standard_input import take

COMMAND = [sys.executable, "-m", "vmdedup", "scan"]
ENOUGH = 60.0
PAGES = [page(n % 7) for n in range(50)]


def scan(*arguments: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own."""
    names = [os.fsencode(str(each)) for each in arguments]
    return subprocess.run([*COMMAND, *names], capture_output=True, timeout=ENOUGH, check=False, **options)


def one_line(done: subprocess.CompletedProcess[bytes], status: int) -> str:
    """What a command that failed said."""
    assert (done.returncode, done.stdout) == (status, b""), done
    text = done.stderr.decode()
    assert text.startswith("vmdedup: ")
    assert text.count("\n") == 1, text
    return text


# Standard input


def test_standard_input_is_a_dump(tmp_path: Path) -> None:
    by_pipe = scan("--json", "-", input=b"".join(PAGES))
    document = json.loads(by_pipe.stdout)
    check(document, [PAGES])
    assert [dump["name"] for dump in document["dumps"]] == ["-"]
    path = write_raw(tmp_path / "a.raw", PAGES)
    with path.open("rb") as file:
        assert scan("--json", "-", stdin=file).stdout == by_pipe.stdout
    with path.open("rb") as file:  # somebody has read a page of it
        os.lseek(file.fileno(), PAGE, os.SEEK_SET)
        check(json.loads(scan("--json", "-", stdin=file).stdout), [PAGES[1:]])


def test_standard_input_is_a_dump_of_any_format(tmp_path: Path) -> None:
    export = tmp_path / "a.parquet"
    scan_dumps([write_raw(tmp_path / "a.raw", PAGES)], hashes_only=export)
    check(json.loads(scan("--json", "-", input=export.read_bytes()).stdout), [PAGES])
    assert "is compressed (gzip)" in one_line(scan("-", input=b"\x1f\x8b" * PAGE), 2)


def test_pipes_of_the_shell_are_dumps(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "a.raw", PAGES)
    command = f"{' '.join(COMMAND)} --json <(cat {path}) <(cat {path})"
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=ENOUGH, check=True)
    check(json.loads(done.stdout), [PAGES, PAGES])


def test_zeros_of_a_pipe_take_no_room() -> None:
    with subprocess.Popen(["head", "-c", "64M", "/dev/zero"], stdout=subprocess.PIPE) as source:
        assert source.stdout is not None
        descriptor = take(f"/dev/fd/{source.stdout.fileno()}", lambda: False)
    status = os.fstat(descriptor)
    os.close(descriptor)
    assert status.st_size == 64 << 20
    assert status.st_blocks * 512 < 1 << 20


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    done = scan("-", input=os.urandom(4 << 20), env=os.environ | {"TMPDIR": str(tmp_path)}, preexec_fn=limited)
    text = one_line(done, 1)
    assert f"-: cannot be kept in {tmp_path} after " in text
    assert "bytes: File too large; free some room there, set TMPDIR" in text
    assert not list(tmp_path.iterdir())


def test_standard_input_that_is_nothing_to_read() -> None:
    assert "is a device" in one_line(scan("-", stdin=subprocess.DEVNULL), 2)
    assert "-: is empty" in one_line(scan("-", input=b""), 2)
    terminal, theirs = os.openpty()
    assert "is a terminal" in one_line(scan("-", stdin=theirs), 2)
    os.close(terminal)
    os.close(theirs)


def test_ctrl_c_ends_a_wait_for_standard_input(tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen([*COMMAND, "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        end = time.monotonic() + ENOUGH
        while not any(name.startswith(str(tmp_path)) for name in _opened_by(process.pid)):
            assert time.monotonic() < end
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=ENOUGH) == 130
        assert process.stderr is not None
        assert process.stderr.read() == b"vmdedup: interrupted\n"


def _opened_by(pid: int) -> list[str]:
    """The names of what a process has open."""
    found = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        with suppress(OSError):
            found.append(os.readlink(f"/proc/{pid}/fd/{number}"))
    return found


# Folders


def test_a_folder_of_dumps_is_all_of_them(tmp_path: Path) -> None:
    for name, pages in (("b.raw", PAGES[:20]), ("a.raw", PAGES[:10])):
        write_raw(tmp_path / name, pages)
    document = scan_dumps([tmp_path]).document
    assert [dump["name"] for dump in document["dumps"]] == [str(tmp_path / "a.raw"), str(tmp_path / "b.raw")]
    check(document, [PAGES[:10], PAGES[:20]])
    with pytest.raises(DumpError, match=r"a\.raw is the same file as"):
        scan_dumps([tmp_path, tmp_path / "a.raw"])


def test_nothing_in_a_folder_is_passed_over(tmp_path: Path) -> None:
    with pytest.raises(DumpError, match="is an empty folder"):
        scan_dumps([tmp_path])
    write_raw(tmp_path / "a.raw", PAGES)
    for make, words in (
        (lambda path: path.write_text("the quick brown fox jumps over it\n" * 400), "is text"),
        (lambda path: path.symlink_to("nowhere"), "No such file"),
        (lambda path: path.mkdir(), "without images"),
        (os.mkfifo, "is a pipe"),
    ):
        path = tmp_path / ".other"
        make(path)
        with pytest.raises(DumpError, match=rf"\.other: .*{words}"):
            scan_dumps([tmp_path])
        path.rmdir() if path.is_dir() else path.unlink()


def test_a_folder_that_is_one_dump_is_one(tmp_path: Path) -> None:
    (tmp_path / "memory-ranges").write_bytes(b"".join(PAGES))
    (tmp_path / "state.json").write_text("{}")
    document = scan_dumps([tmp_path]).document
    assert [dump["name"] for dump in document["dumps"]] == [str(tmp_path)]
    check(document, [PAGES])


# What is no file


def test_nothing_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for name, words in (("fifo", "is a pipe"), ("socket", "is a socket"), ("/dev/zero", "is a device")):
            assert words in one_line(scan(tmp_path / name), 2)
            with pytest.raises(UsageError, match=words):
                open_input(tmp_path / name, error=UsageError)


# More files than may be open


def test_more_dumps_than_files_may_be_open(tmp_path: Path) -> None:
    paths = [write_raw(tmp_path / f"{number}.raw", PAGES[: number + 1]) for number in range(40)]
    soft = f"ulimit -Sn 20; exec {' '.join(COMMAND)} --json {tmp_path}"
    done = subprocess.run(["bash", "-c", soft], capture_output=True, timeout=ENOUGH, check=True)
    assert json.loads(done.stdout)["total"]["pages"] == sum(range(1, 41))
    assert len(paths) == 40


def test_more_than_the_hard_limit_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    def refuse(_: int, limits: tuple[int, int]) -> None:
        asked.append(limits)
        raise ValueError("not allowed to raise maximum limit")

    opened = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (20, 25))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    with pytest.raises(EnvironmentLacksError) as error:
        need_descriptors(400, "400 guests")
    needed = asked[0][0]
    assert 400 + SPARE <= needed <= 400 + SPARE + opened + 1
    assert str(error.value) == (
        f"400 guests need {needed} open files, and this process may have 25; allow more: ulimit -n {needed}"
    )


def test_a_limit_that_is_high_enough_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100_000, 200_000))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    need_descriptors(400, "guests")
    assert set_to == []
    need_descriptors(150_000, "guests")
    assert set_to == [(200_000, 200_000)]


# Names and folders


def test_names_of_any_bytes(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/bad\xff\x1b[31m.raw"
    Path(os.fsdecode(path)).write_bytes(b"".join(PAGES))
    done = scan("--json", os.fsdecode(path))
    check(json.loads(done.stdout.decode("utf-8")), [PAGES])
    for arguments in ([os.fsdecode(path)], [str(tmp_path)], [os.fsdecode(path) + "x"]):
        done = scan(*arguments)
        assert b"Traceback" not in done.stderr
        assert b"\x1b" not in done.stdout + done.stderr
        (done.stdout + done.stderr).decode("utf-8")


def test_a_current_folder_that_was_deleted(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "a.raw", PAGES)
    gone = tmp_path / "gone"
    command = f"mkdir {gone}; cd {gone}; rmdir {gone}; {Path(sys.executable).with_name('vmdedup')} scan --json"
    for arguments in (f"{path}", f"--top 1 {path}", f"{tmp_path}/a.raw ./b.raw", f"--hashes-only x {path}"):
        done = subprocess.run(
            ["bash", "-c", f"{command} {arguments}"], capture_output=True, timeout=ENOUGH, check=False
        )
        assert b"Traceback" not in done.stderr, done.stderr
        assert done.stderr.count(b"\n") <= 1, done.stderr


def test_a_forgotten_name_after_hashes_only(tmp_path: Path) -> None:
    dumps = [write_raw(tmp_path / f"web{number}.raw", PAGES) for number in range(3)]
    text = one_line(scan("-q", "--hashes-only", *dumps), 2)
    assert "web0.raw is there already" in text
    assert [path.read_bytes() for path in dumps] == [b"".join(PAGES)] * 3
    folder = one_line(scan("-q", "--force", "--hashes-only", dumps[1], tmp_path), 2)
    assert "is read by this very command" in folder
    with dumps[1].open("rb") as file:
        standard = one_line(scan("-q", "--force", "--hashes-only", dumps[1], "-", stdin=file), 2)
    assert "is read by this very command" in standard
