"""What user nobody tries against root's runs, for real: to read, to influence, to hold. Needs root."""

from __future__ import annotations

import importlib
import os
import pickle
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.bait import BAIT, COMMAND, PLANTED
from kit.processes import descendants, until
from kit.small_runs import write
from vmdedup.errors import EnvironmentLacksError
from vmdedup.live.guardian.guardian import Guardian
from vmdedup.live.guests.overlay import make_overlay
from vmdedup.live.ksm.lock import KsmLock, lock_path
from vmdedup.ours import file, folder
from vmdedup.ours.lock import Lock
from vmdedup.ours.passing import Passing

NOBODY = 65534
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="becomes user nobody, which needs root")


def attempt(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a shell script as nobody."""
    command = ["/bin/sh", "-c", script, "sh", *map(str, arguments)]
    return subprocess.run(
        command, user=NOBODY, group=NOBODY, extra_groups=[], cwd="/", capture_output=True, text=True, timeout=60
    )


def manages(script: str, *arguments: object) -> bool:
    """Whether nobody can do that."""
    return attempt(script, *arguments).returncode == 0


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files as /tmp is, which nobody can write to."""
    path = Path(tempfile.mkdtemp(dir="/tmp"))
    path.chmod(0o1777)
    monkeypatch.setenv("TMPDIR", str(path))
    assert manages('touch "$1/nobody-was-here" && rm "$1/nobody-was-here"', path), "the attempts would prove nothing"
    yield path
    shutil.rmtree(path)


# Locks


def test_ksm_s_lock_cannot_be_reached() -> None:
    try:
        lock = KsmLock()
    except EnvironmentLacksError:
        pytest.skip("another vmdedup uses the kernel's KSM")
    lock.close()
    for script in (
        'cat "$1"',
        'flock --nonblock "$1" true',
        'flock --nonblock "$(dirname "$1")" true',
        'ln -s /etc/shadow "$(dirname "$1")/other"',
        'ls "$(dirname "$1")"',
        'rm -f "$1"; mv "$1" "$1.old"; mv "$(dirname "$1")" /tmp',
    ):
        assert not manages(script, lock_path()), script
    KsmLock().close()


def test_what_stands_in_a_world_writable_folder_refuses_nobody_s_lock(public: Path) -> None:
    """In such a folder a lock of ours is not made at all, whatever nobody has put there."""
    for script in ('ln -s /etc/passwd "$1"', 'mkdir "$1"', 'mkfifo "$1"', 'touch "$1"'):
        place = public / "lock"
        assert manages(script, place)
        with pytest.raises(EnvironmentLacksError, match="is no lock of ours"):
            Lock(place)
        assert manages('rm -r "$1"', place)


# Folders


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ('mkdir "$1"', f"belongs to user {NOBODY}"),
        ('ln -s /root "$1"', f"belongs to user {NOBODY}"),
        ('mkdir "$1.real" && ln -s "$1.real" "$1"', f"belongs to user {NOBODY}"),
        ('touch "$1"', f"belongs to user {NOBODY}"),
    ],
)
def test_a_folder_of_nobody_s_is_not_ours(script: str, reason: str, public: Path) -> None:
    place = public / "vmdedup"
    assert manages(script, place)
    for path in (place, place / "kernels"):
        with pytest.raises(EnvironmentLacksError, match=reason):
            folder.private(path)
    assert not (Path("/root") / "kernels").exists(), "a folder was made behind a link of nobody's"


def test_a_folder_below_one_that_nobody_can_rename_is_not_ours(public: Path) -> None:
    public.chmod(0o777)  # not sticky: whoever likes can put another folder in place of ours
    with pytest.raises(EnvironmentLacksError, match="may be written by others"):
        folder.private(public / "ours")
    with pytest.raises(EnvironmentLacksError, match="may be written by others"):
        folder.new()
    with pytest.raises(EnvironmentLacksError, match="may be written by others"):
        Passing()
    assert not list(public.iterdir())


def test_links_of_root_s_are_followed(public: Path) -> None:
    (public / "real").mkdir(0o700)
    (public / "link").symlink_to("real")
    assert folder.weakness(public / "link") == ""
    assert folder.private(public / "link" / "inside") == public / "link" / "inside"


def test_no_name_can_be_foretold(public: Path) -> None:
    """Nobody plants what was foretold of root's and users' temporary folders once; it stays unused."""
    for name in ("vmdedup", "vmdedup-0", "vmdedup-1000", "vmdedup-kernels"):
        assert manages('mkdir -m 777 "$1"', public / name)
    names = {folder.random_name() for _ in range(1000)}
    assert len(names) == 1000
    made = folder.new()
    assert made.stat().st_uid == 0
    assert not manages('ls "$1"', made)


# The kernel cache


class Planted:
    """What runs when a pickle is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self.marker,)


def test_planted_pickles_are_not_read(public: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service without a home that it can write to: it takes no folder of nobody's for its compiled kernels."""
    kernel = importlib.import_module("vmdedup.jit.kernel")
    marker = tmp_path / "ran"
    index = public / "index"
    index.write_bytes(pickle.dumps(Planted(marker)))
    (tmp_path / "home").write_text("no folder")
    planted = public / "vmdedup" / "kernels" / kernel.sources_digest()
    assert manages('mkdir -p "$1" && chmod -R 777 "$3" && cp "$2" "$1/k.nbi"', planted, index, public / "vmdedup")
    program = "import vmdedup.jit.kernel, importlib; k = importlib.import_module('vmdedup.jit.kernel');"
    program += "print(k.config.CACHE_DIR)"
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment |= {"XDG_CACHE_HOME": str(tmp_path / "home")}
    program = f"from vmdedup.ours import folder; folder.SYSTEM_CACHE = folder.Path('/proc/none'); {program}"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    if kernel.PYTHON_MODE:
        pytest.skip("kernels are not compiled")
    used = Path(done.stdout.strip())
    assert used.parent == public
    assert not used.is_relative_to(public / "vmdedup")
    assert not marker.exists()


# Guests' disks


def test_a_guest_s_disk_cannot_be_reached(public: Path) -> None:
    if shutil.which("qemu-img") is None:
        pytest.skip("qemu-img is missing: apt install qemu-utils")
    secret = public / "secret"
    secret.write_bytes(b"root's own".ljust(1 << 16))
    secret.chmod(0o600)
    base = public / "base.raw"
    base.write_bytes(bytes(1 << 20))
    with Guardian() as guardian:
        overlay = make_overlay(base, guardian.folder("vmdedup-live-") / "vmdedup-a.qcow2")
        for script in (
            'cat "$1" > /dev/null',
            'printf x >> "$1"',
            'qemu-img rebase -u -F raw -b "$2" "$1"',
            'ls "$(dirname "$1")"',
            'touch "$(dirname "$1")/more"',
            'rm "$1"',
            'chmod 666 "$1"',
        ):
            assert not manages(script, overlay, secret), script
        told = subprocess.check_output(["qemu-img", "info", str(overlay)], text=True)
    assert str(base) in told
    assert "secret" not in told


def test_qemu_s_user_can_reach_its_disk(public: Path) -> None:
    """Here nobody is whom QEMU runs as: it can write its own disk, not a neighbour's, and not look around."""
    if shutil.which("qemu-img") is None:
        pytest.skip("qemu-img is missing: apt install qemu-utils")
    base = public / "base.raw"
    base.write_bytes(bytes(1 << 20))
    with Guardian() as guardian:
        run = guardian.folder("vmdedup-live-")
        mine, other = (run / f"vmdedup-{name}.qcow2" for name in "ab")
        make_overlay(base, mine, (NOBODY, NOBODY))
        make_overlay(base, other)
        assert manages('cat "$1" > /dev/null && printf "" >> "$1"', mine)
        assert not manages('cat "$1" > /dev/null', other)
        assert not manages('ls "$1"', run)


def test_what_a_run_writes_down_is_for_root(public: Path) -> None:
    """Plans and inventories, with ports and keys' places, lie in a folder that QEMU's user can pass through."""
    with Guardian() as guardian:
        run = guardian.folder("vmdedup-")
        file.write(run / "plan.json", "{}")
        assert not manages('cat "$1"', run / "plan.json")


# A whole run


@pytest.fixture
def hostile(public: Path) -> Path:
    """A folder of nobody's with modules of the standard library's names; root runs a command in there."""
    place = public / "project"
    assert manages('mkdir "$1"', place)
    for name in BAIT:
        text = PLANTED.format(marker=str(public / "ran"))
        assert manages('printf "%s" "$2" > "$1"', place / f"{name}.py", text)
    return place


@pytest.mark.compiled
def test_a_run_of_root_s_cannot_be_influenced(hostile: Path, public: Path, tmp_path: Path) -> None:
    arguments = ["run", str(write(tmp_path)), "--duration", "1h", "--clock", "wall", "--output", str(tmp_path / "out")]
    program = f"import sys; sys.path.remove(''); {COMMAND[-1]}"  # as the command does it
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=hostile,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"},
    ) as process:
        try:
            until(lambda: len(descendants(process.pid)) >= 6 or process.poll() is not None)
            assert process.poll() is None, process.stderr and process.stderr.read()
            ours = [path for path in public.rglob("*") if path.lstat().st_uid == 0]
            sockets = [path for path in ours if path.is_socket()]
            assert sockets, "the fork server's socket is looked for in the wrong place"
            for path in ours:
                assert not manages('[ -f "$1" ] && cat "$1" || ls "$1"', path), path
                assert not manages('mv "$1" "$1.old"', path), path
            assert not can_connect(sockets[0])
            for pid in (process.pid, *descendants(process.pid)):
                for name in ("mem", "environ", "fd", "map_files"):
                    assert not manages('cat "$1" || ls "$1/"', f"/proc/{pid}/{name}"), name
                assert not manages('kill -STOP "$1"', pid)
        finally:
            process.kill()
    assert not (public / "ran").exists(), (public / "ran").read_text()
    until(lambda: not [path for path in public.iterdir() if path.stat().st_uid == 0])


def can_connect(path: Path) -> bool:
    """Whether nobody can connect to a socket: what is sent there is done by root."""
    with socket.socket(socket.AF_UNIX) as client:
        os.seteuid(NOBODY)
        try:
            client.connect(str(path))
        except PermissionError:
            return False
        finally:
            os.seteuid(0)
    return True
