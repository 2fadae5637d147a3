"""The guardian on processes, folders and files: what it does in the end, and after which deaths."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.processes import wait_for_death
from vmdedup.errors import EnvironmentLacksError, VmdedupError
from vmdedup.host.thp import PARKED, TUNABLES
from vmdedup.live.guardian import program
from vmdedup.live.guardian.guardian import Guardian
from vmdedup.live.memory.huge import huge_pages_as_asked, without_huge_pages

pytestmark = pytest.mark.usefixtures("records")

SLEEPER = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"]
OWNER = """
import sys, time
from pathlib import Path
from vmdedup.live.guardian.guardian import Guardian
guardian = Guardian()
guardian.end(int(sys.argv[1]))
folder = guardian.folder("vmdedup-test-")
(folder / "inside").mkdir()
guardian.write(Path(sys.argv[2]), "never", "madvise")
guardian.write(Path(sys.argv[2]), "always", "never")
print(guardian.pid, folder, flush=True)
time.sleep(60)
"""


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until it is killed."""
    with subprocess.Popen(SLEEPER) as process:
        yield process
        process.kill()


@pytest.fixture
def knob(tmp_path: Path) -> Path:
    """A file whose text is to be put back."""
    path = tmp_path / "enabled"
    path.write_text("madvise")
    return path


def test_everything_is_done_in_the_end(sleeper: subprocess.Popen[bytes], knob: Path, records: Path) -> None:
    with Guardian() as guardian:
        guardian.end(sleeper.pid)
        made = guardian.folder("vmdedup-test-")
        guardian.write(knob, "never", "madvise")
        assert (made.stat().st_mode & 0o777, knob.read_text()) == (0o711, "never")
        assert sleeper.poll() is None
    assert sleeper.wait() == -signal.SIGKILL
    assert not made.exists()
    assert not list(records.iterdir())
    assert knob.read_text() == "madvise"


def test_a_process_that_is_spared(sleeper: subprocess.Popen[bytes]) -> None:
    with Guardian() as guardian:
        guardian.end(sleeper.pid)
        guardian.spare(sleeper.pid)
    assert sleeper.poll() is None


def test_a_process_that_has_ended_already(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    sleeper.wait()
    with Guardian() as guardian:
        guardian.end(sleeper.pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_everything_is_done_when_the_owner_dies(
    sleeper: subprocess.Popen[bytes], knob: Path, number: signal.Signals
) -> None:
    words = [sys.executable, "-c", OWNER, str(sleeper.pid), str(knob)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as owner:
        assert owner.stdout is not None
        pid, folder = owner.stdout.readline().split()
        assert knob.read_text() == "always"
        for spared in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(int(pid), spared)
        owner.send_signal(number)
        owner.wait()
    wait_for_death(int(pid))
    assert sleeper.wait(20) == -signal.SIGKILL
    assert not Path(folder).exists()
    assert knob.read_text() == "madvise"  # as it was at first, not in between


def test_everything_is_done_although_the_guardian_was_killed(sleeper: subprocess.Popen[bytes], knob: Path) -> None:
    guardian = Guardian()
    guardian.end(sleeper.pid)
    os.kill(guardian.pid, signal.SIGKILL)
    wait_for_death(guardian.pid)
    guardian.write(knob, "never", "madvise")
    guardian.close()
    assert sleeper.wait(20) == -signal.SIGKILL
    assert knob.read_text() == "madvise"


def test_what_cannot_be_done_is_told(knob: Path, tmp_path: Path) -> None:
    charge = program.Charge()
    charge.take(["write", str(tmp_path / "no" / "file"), "x"])
    charge.take(["write", str(knob), "y"])
    assert charge.settle() == [f"{tmp_path}/no/file: No such file or directory; write x to it"]
    assert knob.read_text() == "y"


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    guardian = Guardian()
    with pytest.raises(VmdedupError, match="refuses 'never'"):
        guardian.write(tmp_path / "no" / "file", "never", "madvise")
    with pytest.raises(VmdedupError, match="write madvise to it"):
        guardian.close()


@pytest.mark.parametrize(
    ("text", "inside"),
    [("always [madvise] never\n", "never"), ("always madvise [never]\n", "always madvise [never]\n")],
)
def test_huge_pages_are_kept_away(tmp_path: Path, text: str, inside: str) -> None:
    path = tmp_path / "enabled"
    path.write_text(text)
    with Guardian() as guardian:
        without_huge_pages(guardian, path)
        assert path.read_text() == inside
    assert path.read_text() == ("madvise" if inside == "never" else inside)


def test_khugepaged_rests_while_scripts_are_played(tmp_path: Path) -> None:
    files = {"enabled": "always madvise [never]\n"}
    files |= {f"khugepaged/{name}": f"{default}\n" for name, (default, _) in TUNABLES.items() if name in PARKED}
    (tmp_path / "khugepaged").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with Guardian() as guardian:
        huge_pages_as_asked(guardian, tmp_path / "enabled")
        assert (tmp_path / "enabled").read_text() == "madvise"
        assert (tmp_path / "khugepaged" / "pages_to_scan").read_text() == "1"
    assert {name: (tmp_path / name).read_text().strip() for name in files} == {
        name: text.strip() if name != "enabled" else "never" for name, text in files.items()
    }


def test_a_kernel_without_huge_pages(tmp_path: Path) -> None:
    with Guardian() as guardian:
        without_huge_pages(guardian, tmp_path / "none")
        with pytest.raises(EnvironmentLacksError, match="this kernel has no huge pages"):
            huge_pages_as_asked(guardian, tmp_path / "none")
    assert not (tmp_path / "none").exists()
