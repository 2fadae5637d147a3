"""Who may drive the kernel's KSM: the lock, other processes with mergeable memory, files that are missing."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vmdedup.errors import EnvironmentLacksError, KnobError
from vmdedup.live.ksm import alone
from vmdedup.live.ksm.alone import mergeable_processes, require_alone, require_idle, require_ksm, require_root
from vmdedup.live.ksm.ksmd import find_ksmd
from vmdedup.live.ksm.lock import KsmLock, process_name
from vmdedup.live.ksm.sysfs import KsmFiles

HOLDER = """
import sys
from pathlib import Path
from vmdedup.live.ksm.lock import KsmLock
lock = KsmLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds tmp_path/lock until its standard input ends."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "lock")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_refusal_names_the_holder(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(EnvironmentLacksError, match=rf"in use by process {holder.pid} \(python.*wait"):
        KsmLock(tmp_path / "lock")


def test_the_lock_is_waited_for(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    assert holder.stdin is not None
    holder.stdin.close()
    lock = KsmLock(tmp_path / "lock", wait=20)
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    lock.close()


@pytest.fixture
def releasing(holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The holder lets go when it is waited for, and not before, however slow the machine is. Returns the waits."""
    waits: list[float] = []

    def wait(seconds: float) -> None:
        assert holder.stdin is not None
        waits.append(seconds)
        holder.stdin.close()
        holder.wait()

    monkeypatch.setattr("vmdedup.live.ksm.lock.time.sleep", wait)
    return waits


def dead_process() -> int:
    """The id of a process that has ended."""
    with subprocess.Popen(["true"]) as dead:
        return dead.pid


def test_a_dead_holder_s_guardian_is_waited_for(tmp_path: Path, releasing: list[float]) -> None:
    """The file names a dead process, and another one, which inherited the lock, holds it a little longer."""
    (tmp_path / "lock").write_text(f"{dead_process()}\n")
    KsmLock(tmp_path / "lock").close()
    assert len(releasing) == 1


def test_a_living_holder_is_not_waited_for(tmp_path: Path, releasing: list[float]) -> None:
    with pytest.raises(EnvironmentLacksError, match="in use by process"):
        KsmLock(tmp_path / "lock")
    assert releasing == []


@pytest.mark.usefixtures("holder")
@pytest.mark.parametrize(("wait", "patience"), [(0.0, 5.0), (2.0, 5.0), (9.0, 9.0)])
def test_a_guardian_has_five_seconds(
    wait: float, patience: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("vmdedup.live.ksm.lock.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("vmdedup.live.ksm.lock.time.sleep", lambda _seconds: clock.append(clock.pop() + 0.5))
    (tmp_path / "lock").write_text(f"{dead_process()}\n")
    with pytest.raises(EnvironmentLacksError, match="ended, but its guardian still restores"):
        KsmLock(tmp_path / "lock", wait)
    assert clock == [100.5 + patience]


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    lock = KsmLock(tmp_path / "lock")
    lock.close()
    lock.close()
    KsmLock(tmp_path / "lock").close()


def test_a_dead_holder_that_nobody_has_buried_is_dead(tmp_path: Path, releasing: list[float]) -> None:
    """Killed, and its parent has not asked yet: it has a name still, and its guardian restores all the same."""
    with subprocess.Popen(["true"], stdin=subprocess.PIPE) as zombie:
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        assert process_name(zombie.pid) == ""
        (tmp_path / "lock").write_text(f"{zombie.pid}\n")
        KsmLock(tmp_path / "lock").close()
    assert len(releasing) == 1


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_is_no_lock_is_told_in_a_line(tmp_path: Path, kind: str) -> None:
    path, target = tmp_path / "lock", tmp_path / "target"
    target.write_text("precious")
    if kind == "link":
        path.symlink_to(target)
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(EnvironmentLacksError, match=r"lock is no lock of ours.*remove it"):
        KsmLock(path)
    assert target.read_text() == "precious"


def test_a_lock_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Whoever can open it, to read it even, could hold it against us."""
    (tmp_path / "lock").touch(0o644)
    KsmLock(tmp_path / "lock").close()
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600


def test_a_holder_s_name_is_no_escape_sequence(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "print(open('/proc/self/comm', 'w').write('\x1b[31mred'), flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as named:
        assert named.stdout is not None
        named.stdout.readline()
        (tmp_path / "lock").write_text(f"{named.pid}\n")
        with pytest.raises(EnvironmentLacksError, match=r"\(\\x1b\[31mred\)"):
            KsmLock(tmp_path / "lock")
        named.kill()


STAT = "ksm_rmap_items {}\nksm_zero_pages 0\nksm_merging_pages {}\nksm_process_profit 0\n"


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up /proc: 10 and 20 are innocent, 30 is a kernel thread, which has no figures."""
    monkeypatch.setattr(alone, "PROC", tmp_path)
    for pid in ("10", "20", "30", "self"):
        (tmp_path / pid).mkdir()
    for pid in ("10", "20"):
        stat = STAT.format(0, 0) + "ksm_merge_any: no\nksm_mergeable: no\n"
        (tmp_path / pid / "ksm_stat").write_text(stat)
    return tmp_path


def test_nobody_is_mergeable(proc: Path) -> None:
    assert list(mergeable_processes()) == []
    require_alone()


@pytest.mark.parametrize(
    "stat",
    [
        STAT.format(0, 0) + "ksm_merge_any: no\nksm_mergeable: yes\n",
        STAT.format(0, 0) + "ksm_merge_any: yes\nksm_mergeable: no\n",
        STAT.format(0, 3) + "ksm_merge_any: no\nksm_mergeable: no\n",
        STAT.format(5, 0),  # an older kernel
    ],
)
def test_a_mergeable_process_is_named(proc: Path, stat: str) -> None:
    (proc / "20" / "ksm_stat").write_text(stat)
    assert list(mergeable_processes()) == [20]
    with pytest.raises(EnvironmentLacksError, match=r"process 20 .*mem-merge=off"):
        require_alone()


def test_merged_pages_are_refused(proc: Path) -> None:
    (proc / "pages_shared").write_text("7\n")
    with pytest.raises(EnvironmentLacksError, match=r"7 pages are merged already.*echo 2 >"):
        require_idle(KsmFiles(proc))


def test_only_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(EnvironmentLacksError, match="needs root") as caught:
        require_root()
    assert caught.value.exit_status == 4


def test_a_kernel_without_ksm(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentLacksError, match="CONFIG_KSM"):
        require_ksm(KsmFiles(tmp_path))


def test_a_kernel_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentLacksError, match=r"smart_scan is missing.*too old"):
        KsmFiles(tmp_path).read("smart_scan")


def test_ksmd_out_of_sight(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "comm").write_text("ksmd\n")
    (tmp_path / "7" / "cmdline").write_text("an impostor")
    with pytest.raises(EnvironmentLacksError, match="pid namespace"):
        find_ksmd(tmp_path)


def test_a_refused_write_has_the_kernel_s_name() -> None:
    files = KsmFiles(Path("/dev"))
    with pytest.raises(KnobError, match="full refuses '1': ENOSPC") as caught:
        files.write("full", "1")
    assert caught.value.errno_name == "ENOSPC"
    files.close()


def test_the_kernel_s_machine_needs_no_compiler() -> None:
    program = (
        "import sys, vmdedup.live.scripts.kernel, vmdedup.live.prices.timing, vmdedup.replay.play;"
        "import vmdedup.replay.script; sys.exit('numba' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
