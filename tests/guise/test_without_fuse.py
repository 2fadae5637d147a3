"""Where files cannot answer: one line with what to do, and plain files that say what they cannot do.

As user nobody, in namespaces of its own, and where these are not to be had either, as in most containers.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from kit.shown_hosts import PYTHON, call, can_unshare, mounted, needs_namespaces, write
from vmdedup.guise.plain import MISSING

ROOT = Path(__file__).parent.parent.parent
NOBODY = 65534
SYSTEM_PYTHON = f"/usr/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
MODULES = os.pathsep.join([str(ROOT), str(Path(typer.__file__).parent.parent)])
needs_nobody = pytest.mark.skipif(os.geteuid() != 0, reason="becomes user nobody, which needs root")


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder in which nobody finds a scenario, and may write; skips where nobody cannot run our Python."""
    probe = [
        "setpriv",
        f"--reuid={NOBODY}",
        "env",
        f"PYTHONPATH={MODULES}",
        SYSTEM_PYTHON,
        "-c",
        "import vmdedup, typer",
    ]
    if subprocess.run(probe, cwd="/", capture_output=True).returncode:
        pytest.skip(f"user nobody cannot run vmdedup by {SYSTEM_PYTHON} here")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        path = Path(name)
        path.chmod(0o755)
        write(path).chmod(0o644)
        (path / "home").mkdir()
        os.chown(path / "home", NOBODY, NOBODY)
        yield path


def as_nobody(public: Path, device: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A command of ours by user nobody. device: what becomes of /dev/fuse before, in a shell."""
    variables = [f"HOME={public}/home", "TMPDIR=/tmp", f"PYTHONPATH={MODULES}", "PYTHONDONTWRITEBYTECODE=1"]
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "env", *variables]
    script = f'{device}; exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", *drop, SYSTEM_PYTHON, "-P", "-m", "vmdedup"]
    environment = {**os.environ, **PYTHON}
    return subprocess.run(
        [*command, *map(str, arguments)], cwd="/", env=environment, capture_output=True, text=True, timeout=120
    )


def open_device(public: Path) -> str:
    return f"mknod {public}/fuse c 10 229 && chmod 666 {public}/fuse && mount --bind {public}/fuse /dev/fuse"


def no_device(public: Path) -> str:
    """A /dev as containers have it."""
    nodes = "mknod -m 666 null c 1 3; mknod -m 666 zero c 1 5; mknod -m 666 random c 1 8; mknod -m 666 urandom c 1 9"
    made = f"mkdir {public}/dev; mount -t tmpfs none {public}/dev; cd {public}/dev; {nodes}"
    return f"{made}; cd /; mount --move $OLDPWD /dev"


READ_AND_WRITE = """\
cd /sys/kernel/mm/ksm; cat run; echo 77 > pages_to_scan; sleep 2; cat pages_to_scan /proc/meminfo
pgrep -fc ^qemu-system"""
SEEN = ["1", "77", "MemTotal:           4096 kB"]


@needs_nobody
@pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="files that answer need /dev/fuse")
def test_nobody_needs_no_rights(public: Path) -> None:
    done = as_nobody(public, open_device(public), "exec", public / "shown.toml", "--", "sh", "-c", READ_AND_WRITE)
    assert done.stderr == ""
    assert done.stdout.splitlines()[:3] == SEEN
    assert done.stdout.splitlines()[-1] == "1"


@needs_nobody
def test_without_the_device_plain_files_stand_in_and_say_so(public: Path) -> None:
    done = as_nobody(public, no_device(public), "exec", public / "shown.toml", "--", "sh", "-c", READ_AND_WRITE)
    assert done.stderr.count("\n") == 1
    assert "there is no /dev/fuse here (in a container: --device /dev/fuse; else: modprobe fuse)" in done.stderr
    assert MISSING in done.stderr
    assert done.stdout.splitlines()[:3] == SEEN
    assert done.stdout.splitlines()[-1] == "1"


def test_without_namespaces_it_is_said_what_to_do(tmp_path: Path) -> None:
    refusing = tmp_path / "unshare"
    refusing.write_text("#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2; exit 1\n")
    refusing.chmod(0o755)
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = call("exec", write(tmp_path), "--", "true", variables=variables)
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert "(unshare failed: Operation not permitted); run it as root" in done.stderr
    assert "vmdedup mount SCENARIO DIR" in done.stderr


def test_a_plain_folder_obeys_and_goes(tmp_path: Path) -> None:
    """What would be refused is put back."""
    folder = tmp_path / "host"
    folder.mkdir()
    with mounted(write(tmp_path), folder, "--plain"):
        ksm = folder / "sys/kernel/mm/ksm"
        assert until(lambda: (ksm / "run").exists() and (ksm / "run").read_text() == "1\n")
        (ksm / "run").write_text("7\n")
        (ksm / "pages_to_scan").write_text("55")
        assert until(lambda: (ksm / "pages_to_scan").read_text() == "55\n")
        assert until(lambda: (ksm / "run").read_text() == "1\n")
        assert (folder / "proc/meminfo").read_text().startswith("MemTotal:           4096 kB\n")
    assert not list(folder.iterdir())


@needs_namespaces
def test_in_there_plain_files_obey_too(tmp_path: Path) -> None:
    done = call("exec", write(tmp_path), "--plain", "--", "sh", "-c", READ_AND_WRITE)
    assert done.stdout.splitlines()[:3] == SEEN
    assert done.stderr == f"vmdedup: {MISSING}\n"


def until(holds: object, seconds: float = 10) -> bool:
    """Whether it comes to hold."""
    assert callable(holds)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.05)
    return False


def test_the_probe_says_what_the_command_finds() -> None:
    """So that no test above skips where the command would work."""
    from vmdedup.errors import EnvironmentLacksError
    from vmdedup.guise.namespace import need_namespaces

    try:
        need_namespaces()
        found = True
    except EnvironmentLacksError:
        found = False
    assert found == can_unshare()
