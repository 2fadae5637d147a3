"""The guardian and tunables, on a folder of plain files: what it puts back, in which order, and after which deaths."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from kit.processes import wait_for_death
from kit.tunables import BEFORE, CHANGED
from vmdedup.errors import VmdedupError
from vmdedup.live.guardian import program
from vmdedup.live.guardian.guardian import Guardian
from vmdedup.live.guardian.order import restoring
from vmdedup.live.ksm.sysfs import KsmFiles

pytestmark = pytest.mark.usefixtures("records")

OWNER = """
import sys, time
from pathlib import Path
from vmdedup.live.guardian.guardian import Guardian
from vmdedup.live.guardian import program
from vmdedup.live.guardian.guardian import Guardian
from vmdedup.live.guardian.order import restoring
from vmdedup.live.ksm.sysfs import KsmFiles
root = Path(sys.argv[1])
guardian = Guardian()
with guardian.tunables(root, *restoring(KsmFiles(root).save()), 0):
    for knob, value in eval(sys.argv[2]).items():
        (root / knob).write_text(value)
    print(guardian.pid, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "ksm"
    path.mkdir()
    for knob, value in BEFORE.items():
        (path / knob).write_text(value)
    (path / "pages_shared").write_text("0")
    (path / "pages_shared").chmod(0o444)
    return path


def values(folder: Path) -> dict[str, str]:
    return {knob: (folder / knob).read_text() for knob in BEFORE}


def change(folder: Path) -> None:
    for knob, value in CHANGED.items():
        (folder / knob).write_text(value)


def guarded(guardian: Guardian, folder: Path) -> AbstractContextManager[None]:
    return guardian.tunables(folder, *restoring(KsmFiles(folder).save()), 0)


@pytest.fixture
def owner(folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", OWNER, str(folder), repr(CHANGED)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_save_takes_tunables_only(folder: Path) -> None:
    (folder / "advisor_mode").write_text("none [scan-time]\n")
    assert KsmFiles(folder).save() == BEFORE | {"advisor_mode": "scan-time"}


def test_close_restores(folder: Path) -> None:
    with Guardian() as guardian:
        with guarded(guardian, folder):
            change(folder)
        assert values(folder) == BEFORE, "at once, although the guardian has other work"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_restores_when_the_owner_dies(folder: Path, owner: subprocess.Popen[str], number: signal.Signals) -> None:
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    assert values(folder) == BEFORE | CHANGED
    for spared in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(pid, spared)
    owner.send_signal(number)
    owner.wait()
    wait_for_death(pid)
    assert values(folder) == BEFORE


def test_close_restores_although_the_guardian_was_killed(folder: Path) -> None:
    with Guardian() as guardian:
        with guarded(guardian, folder):
            change(folder)
            os.kill(guardian.pid, signal.SIGKILL)
        assert values(folder) == BEFORE


def orphaned(*messages: list[object]) -> subprocess.CompletedProcess[bytes]:
    """Run the program with these orders of an owner that is gone before it hears an answer."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for message in messages:
        ours.send(json.dumps(message).encode())
    ours.close()
    watch = os.pidfd_open(os.getpid())
    command = [sys.executable, "-I", "-S", program.__file__, str(watch)]
    done = subprocess.run(command, pass_fds=(watch,), stdin=theirs.fileno(), capture_output=True, timeout=50)
    os.close(watch)
    theirs.close()
    return done


def test_an_owner_that_dies_at_once_changes_nothing() -> None:
    done = orphaned()
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_an_owner_that_dies_before_it_hears_of_the_guardian_is_restored(folder: Path, tmp_path: Path) -> None:
    change(folder)
    record = tmp_path / "record"
    record.write_text("")
    done = orphaned(["record", str(record)], ["set", str(folder), *restoring(BEFORE)])
    assert (done.returncode, done.stderr, values(folder)) == (0, b"", BEFORE)
    assert not record.exists()


def test_a_guardian_that_does_not_start_changes_nothing(monkeypatch: pytest.MonkeyPatch, records: Path) -> None:
    monkeypatch.setattr(program, "__file__", "/dev/null")
    with pytest.raises(VmdedupError, match="did not start; nothing was changed"):
        Guardian()
    assert not list(records.iterdir())


def test_order_of_writes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, str]] = []
    monkeypatch.setattr(program, "_write", lambda _root, knob, value: written.append((knob, value)))
    assert program.set_back(str(folder), *restoring(BEFORE | {"advisor_mode": "scan-time"})) == []
    assert written[:4] == [
        ("advisor_mode", "none"),
        ("run", "0"),
        ("run", "2"),
        ("max_page_sharing", "256"),
    ]
    assert written[-2:] == [("advisor_mode", "scan-time"), ("run", "1")]
    assert {knob for knob, _ in written} == set(BEFORE)


def test_what_fails_is_told_and_the_rest_restored(folder: Path) -> None:
    change(folder)
    (folder / "sleep_millisecs").unlink()
    (folder / "sleep_millisecs").mkdir()
    assert program.set_back(str(folder), *restoring(BEFORE)) == ["sleep_millisecs=20: EISDIR"]
    assert (folder / "pages_to_scan").read_text() == "123"


def test_busy_pages_are_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[str] = []

    def write(_root: str, knob: str, _value: str) -> None:
        if knob == "max_page_sharing":
            tries.append(knob)
            if len(tries) < 3:
                raise OSError(16, "busy")

    monkeypatch.setattr(program, "_write", write)
    assert program.set_back(str(folder), *restoring(BEFORE)) == []
    assert len(tries) == 3


def test_patience_ends(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(_root: str, knob: str, _value: str) -> None:
        if knob == "max_page_sharing":
            raise OSError(16, "busy")

    monkeypatch.setattr(program, "_write", write)
    assert program.set_back(str(folder), *restoring(BEFORE), patience=0) == ["max_page_sharing=256: EBUSY"]


def test_a_failed_restore_is_an_error(folder: Path, records: Path) -> None:
    """And the record stays: whoever comes next tries again."""
    with Guardian() as guardian:
        session = guarded(guardian, folder)
        session.__enter__()
        (folder / "sleep_millisecs").unlink()
        (folder / "sleep_millisecs").mkdir()
        with pytest.raises(VmdedupError, match="could not be restored: sleep_millisecs=20: EISDIR"):
            session.__exit__(None, None, None)
    assert len(list(records.iterdir())) == 1


def test_a_failed_restore_of_a_dead_owner_is_told(folder: Path) -> None:
    (folder / "sleep_millisecs").unlink()
    (folder / "sleep_millisecs").mkdir()
    done = orphaned(["set", str(folder), *restoring(BEFORE)])
    assert (done.returncode, done.stderr) == (1, b"vmdedup: sleep_millisecs=20: EISDIR\n")


def test_what_was_put_back_early_is_not_put_back_again(folder: Path) -> None:
    """Not by the guardian in the end, and not by who comes next if all are killed."""
    with Guardian() as guardian:
        with guarded(guardian, folder):
            change(folder)
        change(folder)
        os.kill(guardian.pid, signal.SIGKILL)
    assert values(folder) == BEFORE | CHANGED


def test_processes_end_before_tunables_come_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest that lives on would have all its memory unmerged."""
    with subprocess.Popen(["sleep", "60"]) as guest:
        charge = program.Charge()
        charge.take(["set", str(folder), *restoring(BEFORE)])
        charge.take(["end", guest.pid])
        lived: list[bool] = []
        monkeypatch.setattr(program, "_write", lambda *_: lived.append(guest.poll() is None))
        assert charge.settle() == []
        assert lived == [False] * len(lived) != []


def test_a_fork_that_lives_on_keeps_no_guardian(folder: Path) -> None:
    """It has the socket, too."""
    with Guardian() as guardian:
        child = os.fork()
        if not child:
            time.sleep(60)
            os._exit(0)
        guardian.end(child)
        guardian.spare(child)
        pid = guardian.pid
    wait_for_death(pid)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
