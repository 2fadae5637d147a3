"""The guardian on a folder of plain files: what it restores, in which order, and after which deaths."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.processes import wait_for_death
from kit.tunables import BEFORE, CHANGED
from vmdedup.errors import VmdedupError
from vmdedup.live.ksm.order import restoring
from vmdedup.live.ksm.session import Guardian
from vmdedup.live.ksm.sysfs import KsmFiles
from vmdedup.live.watchers import guardian

OWNER = """
import sys, time
from pathlib import Path
from vmdedup.live.ksm.session import Guardian
from vmdedup.live.ksm.sysfs import KsmFiles
keeper = Guardian(KsmFiles(Path(sys.argv[1])), 0)
for knob, value in eval(sys.argv[2]).items():
    Path(sys.argv[1], knob).write_text(value)
print(keeper._watcher.process.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for knob, value in BEFORE.items():
        (tmp_path / knob).write_text(value)
    (tmp_path / "pages_shared").write_text("0")
    (tmp_path / "pages_shared").chmod(0o444)
    return tmp_path


def values(folder: Path) -> dict[str, str]:
    return {knob: (folder / knob).read_text() for knob in BEFORE}


def change(folder: Path) -> None:
    for knob, value in CHANGED.items():
        (folder / knob).write_text(value)


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
    keeper = Guardian(KsmFiles(folder), 0)
    change(folder)
    keeper.close()
    assert values(folder) == BEFORE


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
    keeper = Guardian(KsmFiles(folder), 0)
    change(folder)
    keeper._watcher.process.kill()
    keeper.close()
    assert values(folder) == BEFORE


def test_an_owner_that_dies_at_once_changes_nothing() -> None:
    watch = os.pidfd_open(os.getpid())
    command = [sys.executable, "-I", "-S", guardian.__file__, str(watch)]
    done = subprocess.run(command, pass_fds=(watch,), stdin=subprocess.DEVNULL, capture_output=True)
    os.close(watch)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_an_owner_that_dies_before_it_hears_of_the_guardian_is_restored(folder: Path, tmp_path: Path) -> None:
    change(folder)
    record = tmp_path / "record"
    record.write_text("")
    read, write = os.pipe()
    os.close(read)
    watch = os.pidfd_open(os.getpid())
    command = [sys.executable, "-I", "-S", guardian.__file__, str(watch)]
    line = json.dumps([str(folder), *restoring(BEFORE), str(record)]).encode()
    done = subprocess.run(command, pass_fds=(watch,), input=line, stdout=write, stderr=subprocess.PIPE, timeout=50)
    os.close(watch)
    os.close(write)
    assert (done.returncode, done.stderr, values(folder)) == (0, b"", BEFORE)
    assert not record.exists()


def test_order_of_writes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, str]] = []
    monkeypatch.setattr(guardian, "_write", lambda _root, knob, value: written.append((knob, value)))
    assert guardian.restore(str(folder), *restoring(BEFORE | {"advisor_mode": "scan-time"})) == []
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
    assert guardian.restore(str(folder), *restoring(BEFORE)) == ["sleep_millisecs=20: EISDIR"]
    assert (folder / "pages_to_scan").read_text() == "123"


def test_busy_pages_are_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[str] = []

    def write(_root: str, knob: str, _value: str) -> None:
        if knob == "max_page_sharing":
            tries.append(knob)
            if len(tries) < 3:
                raise OSError(16, "busy")

    monkeypatch.setattr(guardian, "_write", write)
    assert guardian.restore(str(folder), *restoring(BEFORE)) == []
    assert len(tries) == 3


def test_patience_ends(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(_root: str, knob: str, _value: str) -> None:
        if knob == "max_page_sharing":
            raise OSError(16, "busy")

    monkeypatch.setattr(guardian, "_write", write)
    assert guardian.restore(str(folder), *restoring(BEFORE), patience=0) == ["max_page_sharing=256: EBUSY"]


def test_a_failed_restore_is_an_error(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    keeper = Guardian(KsmFiles(folder), 0)
    (folder / "sleep_millisecs").unlink()
    (folder / "sleep_millisecs").mkdir()
    with pytest.raises(VmdedupError, match="could not be restored"):
        keeper.close()
    assert "sleep_millisecs=20: EISDIR" in capfd.readouterr().err
