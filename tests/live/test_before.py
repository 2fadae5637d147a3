"""Run and guardian killed at once: what was before is on disk, and whoever comes next puts it back first."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.processes import wait_for_death
from kit.tunables import BEFORE, CHANGED, tunables
from vmdedup.cli import run_command
from vmdedup.errors import EnvironmentLacksError
from vmdedup.live.guardian import before
from vmdedup.live.guardian.before import Record, left, settle
from vmdedup.live.ksm.lock import KsmLock
from vmdedup.ours import folder

OWNER = """
import os, sys, time
from pathlib import Path
from vmdedup.ours import folder
folder.runtime = lambda: Path(sys.argv[1])
from vmdedup.live.guardian.guardian import Guardian
from vmdedup.live.ksm.lock import KsmLock
from vmdedup.live.guardian.order import restoring
from vmdedup.live.ksm.sysfs import KsmFiles
knobs = Path(sys.argv[2])
lock = KsmLock()
guardian = Guardian()
with guardian.tunables(knobs, *restoring(KsmFiles(knobs).save()), lock.descriptor):
    for knob, value in eval(sys.argv[3]).items():
        (knobs / knob).write_text(value)
    huge = knobs.parent / "enabled"
    guardian.write(huge, "never", "madvise")
    made = guardian.folder("vmdedup-test-")
    print(guardian.pid, made, flush=True)
    sys.stdin.readline()
print("restored", flush=True)
time.sleep(60)
"""


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for locks and records that nobody else uses."""
    path = folder.private(tmp_path / "run")
    monkeypatch.setattr(folder, "runtime", lambda: path)
    return path


@pytest.fixture
def knobs(tmp_path: Path) -> Path:
    """A folder of files as KSM's, and one as that of huge pages beside it."""
    path = tmp_path / "ksm"
    path.mkdir()
    for knob, value in BEFORE.items():
        (path / knob).write_text(value)
    (tmp_path / "enabled").write_text("madvise")
    return path


def values(knobs: Path) -> dict[str, str]:
    return {knob: (knobs / knob).read_text() for knob in BEFORE}


class Session:
    """A process that has changed everything, with its guardian."""

    def __init__(self, runtime: Path, knobs: Path) -> None:
        command = [sys.executable, "-c", OWNER, str(runtime), str(knobs), repr(CHANGED)]
        self.owner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.owner.stdout is not None
        guardian, made = self.owner.stdout.readline().split()
        self.guardian, self.made = int(guardian), Path(made)

    def kill(self, *pids: int) -> None:
        """Kill the owner and these at once: none of them acts any more."""
        for pid in (self.owner.pid, *pids):
            os.kill(pid, signal.SIGSTOP)
        for pid in (self.owner.pid, *pids):
            os.kill(pid, signal.SIGKILL)
        self.end()
        wait_for_death(self.guardian)

    def end(self) -> None:
        """Kill the owner, if it lives."""
        self.owner.kill()
        self.owner.wait()
        for pipe in (self.owner.stdin, self.owner.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def session(runtime: Path, knobs: Path) -> Iterator[Session]:
    made = Session(runtime, knobs)
    yield made
    made.end()


def test_who_comes_next_puts_everything_back(session: Session, runtime: Path, knobs: Path) -> None:
    assert [lock.path for lock in left()] == [], "what is held is not left"
    session.kill(session.guardian)
    assert values(knobs) == BEFORE | CHANGED
    assert session.made.is_dir()
    assert len(list(left())) == 1
    told = settle()
    assert values(knobs) == BEFORE
    assert (knobs.parent / "enabled").read_text() == "madvise"
    assert not session.made.exists()
    assert len(told) == 3
    assert [path.name for path in runtime.iterdir()] == ["ksm.lock"]
    assert settle() == []


def test_who_restores_removes_the_record(session: Session, runtime: Path, knobs: Path) -> None:
    session.kill()
    assert values(knobs) == BEFORE
    assert [path.name for path in runtime.iterdir()] == ["ksm.lock"]


def test_the_lock_is_free_only_when_the_tunables_are_back(session: Session, runtime: Path, knobs: Path) -> None:
    """A dead holder's guardian, and nobody else, holds the lock; it is waited for."""
    os.kill(session.guardian, signal.SIGSTOP)
    session.end()
    with pytest.raises(EnvironmentLacksError, match="ended, but its guardian still restores"):
        KsmLock()
    assert values(knobs) == BEFORE | CHANGED
    os.kill(session.guardian, signal.SIGCONT)
    KsmLock(wait=20).close()
    assert values(knobs) == BEFORE


def test_tunables_of_another_boot_have_gone_with_it(
    session: Session, knobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.kill(session.guardian)
    monkeypatch.setattr(before, "boot", lambda: "another")
    assert settle() == [f"{session.made} is removed"]
    assert values(knobs) == BEFORE | CHANGED


def test_what_cannot_be_put_back_is_told_each_time(session: Session, runtime: Path, knobs: Path) -> None:
    session.kill(session.guardian)
    (knobs / "sleep_millisecs").unlink()
    (knobs / "sleep_millisecs").mkdir()
    for _ in range(2):
        with pytest.raises(EnvironmentLacksError, match=r"sleep_millisecs=20: EISDIR; write it by hand, then remove"):
            settle()
    assert (knobs / "pages_to_scan").read_text() == "123"


def test_half_a_line_is_nothing(runtime: Path, knobs: Path) -> None:
    """It was being written when its writer was killed: what it would have told of had not begun."""
    record = Record()
    record.add(["write", str(knobs / "run"), "7"])
    with record.path.open("a") as file:
        file.write(json.dumps(["write", str(knobs / "pages_to_scan"), "7"])[:-5])
    record.close()
    assert settle() == [f"{knobs / 'run'} is 7 again"]
    assert (knobs / "pages_to_scan").read_text() == "123"


def test_restore_by_hand(
    session: Session, knobs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    session.kill(session.guardian)
    assert run_command(["live", "restore"]) == 0
    assert f"tunables in {knobs} are as before" in capsys.readouterr().out
    assert values(knobs) == BEFORE
    assert run_command(["live", "restore"]) == 0
    assert capsys.readouterr().out == "nothing is left to put back\n"


def test_tunables_that_are_back_are_not_put_back_by_who_comes_next(session: Session, knobs: Path) -> None:
    """The session was over, the run was not, when all were killed; somebody has set them since."""
    assert session.owner.stdin is not None
    assert session.owner.stdout is not None
    session.owner.stdin.close()
    assert session.owner.stdout.readline() == "restored\n"
    assert values(knobs) == BEFORE
    session.kill(session.guardian)
    (knobs / "pages_to_scan").write_text("99")
    assert settle() == [f"{knobs.parent / 'enabled'} is madvise again", f"{session.made} is removed"]
    assert (knobs / "pages_to_scan").read_text() == "99"


def test_an_order_that_is_not_known_is_no_order(runtime: Path) -> None:
    """Of another version's: nothing is done, and the record stays."""
    record = Record()
    record.add(["mount", "/no/such"])
    record.close()
    with pytest.raises(EnvironmentLacksError, match="'mount' is no order that this vmdedup knows"):
        settle()
    assert record.path.exists()


def test_a_record_of_an_older_version_is_settled(runtime: Path, knobs: Path) -> None:
    """It had the tunables by name, and the order in which they go back was found when they did."""
    record = Record()
    record.add(["ksm", str(knobs), BEFORE])
    record.add(["write", str(knobs.parent / "enabled"), "madvise"])
    record.close()
    for knob, value in CHANGED.items():
        (knobs / knob).write_text(value)
    (knobs.parent / "enabled").write_text("never")
    assert len(settle()) == 2
    assert values(knobs) == BEFORE
    assert (knobs.parent / "enabled").read_text() == "madvise"
    assert not record.path.exists()


KERNEL = """
import sys, time
from vmdedup.live.ksm.session import KsmSession
session = KsmSession(wait=120)
session.start_state()
print(session.guardian.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.kernel
def test_the_kernel_s_own_tunables_come_back(require_free_ksm: None) -> None:
    was = tunables()
    with subprocess.Popen([sys.executable, "-c", KERNEL], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        guardian = int(owner.stdout.readline())
        for pid in (owner.pid, guardian):
            os.kill(pid, signal.SIGSTOP)
        for pid in (owner.pid, guardian):
            os.kill(pid, signal.SIGKILL)
    wait_for_death(guardian)
    assert tunables() != was
    program = "from vmdedup.live.ksm.session import KsmSession; KsmSession(wait=120).close()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "a run that was killed had left something: tunables in /sys/kernel/mm/ksm are as before" in done.stderr
    assert tunables() == was


@pytest.fixture
def require_free_ksm() -> None:
    program = "from vmdedup.live.ksm.session import KsmSession; KsmSession(wait=120).close()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    if "EnvironmentLacksError" in done.stderr:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
