"""No file of the current folder runs in a child of ours, and children run the same vmdedup as their parent."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from kit.bait import BAIT, COMMAND, PLANTED
from kit.processes import descendants, running
from kit.small_runs import write
from vmdedup.ours import child

ROOT = Path(__file__).parent.parent.parent


# What the fork server, the resource tracker and watchers import early; each would break, or take over, a run.
# As the command does it: its own path begins with the folder of the command, not with the current one.
@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder whose modules say that they ran, in the file `ran` beside it."""
    folder = tmp_path / "trap"
    folder.mkdir()
    for name in BAIT:
        (folder / f"{name}.py").write_text(PLANTED.format(marker=str(tmp_path / "ran")))
    return folder


@pytest.mark.compiled
def test_nothing_of_the_current_folder_runs(trap: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    command = [*COMMAND[:1], "-c", f"import sys; sys.path.remove(''); {COMMAND[3]}"]  # not safe by a flag
    arguments = ["run", str(write(tmp_path)), "--duration", "1s", "--output", str(tmp_path / "out")]
    done = subprocess.run([*command, *arguments], cwd=trap, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()


def test_programs_are_not_looked_for_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "planted"
    program.write_text("#!/bin/sh\necho planted\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    for here in (".", "", f"sub/..{os.pathsep}.", f"/usr/bin{os.pathsep}"):
        monkeypatch.setenv("PATH", here)
        assert child.find("planted") is None
        with pytest.raises(FileNotFoundError, match="planted"):
            child.run(["planted"])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert child.run(["planted"], capture_output=True).stdout == b"planted\n"
    monkeypatch.setenv("PATH", f".{os.pathsep}/usr/bin{os.pathsep}/bin")
    assert child.run(["sh", "-c", "planted"], capture_output=True).returncode == 127, "its own children find it"


def test_children_of_children_are_safe(tmp_path: Path) -> None:
    (tmp_path / "queue.py").write_text("raise SystemExit(7)")
    program = "import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', 'import queue']).returncode)"
    assert child.run([sys.executable, "-c", program], cwd=tmp_path).returncode == 0
    assert subprocess.run([sys.executable, "-c", "import queue"], cwd=tmp_path).returncode == 7, "the bait is no bait"


def test_our_own_environment_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    before = dict(os.environ)
    with child.safe_interpreters():
        assert os.environ["PYTHONSAFEPATH"] == "1"
    assert dict(os.environ) == before
    assert child.environment({"A": "b"})["PYTHONSAFEPATH"] == "1"


@pytest.mark.compiled
def test_workers_run_the_same_vmdedup_as_their_parent(tmp_path: Path) -> None:
    """In a folder that holds a copy: with `python -m vmdedup` the copy, by the command the installed one."""
    copy = tmp_path / "clone"
    copy.mkdir()
    (copy / "vmdedup").symlink_to(ROOT / "vmdedup", target_is_directory=True)
    program = (
        "from vmdedup.host.workers import Worker, serve\n"
        "import vmdedup, os\n"
        "worker = Worker('w', serve, {'where': where}, preload='vmdedup.errors')\n"
        "print(vmdedup.__file__, worker.call('where'))\n"
        "worker.close()\n"
    )
    (copy / "told.py").write_text("import vmdedup\ndef where():\n    return vmdedup.__file__\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [sys.executable, "-c", "from told import where\n" + program]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    parent, worker = done.stdout.split()
    assert parent == worker == str(copy / "vmdedup" / "__init__.py")


@pytest.mark.compiled
@pytest.mark.slow
def test_a_fork_server_that_is_killed_is_one_line(tmp_path: Path) -> None:
    """At whatever moment of the start: no traceback, a status, and the run is over."""
    for after in (0.0, 0.1, 0.4):
        arguments = ["--duration", "1s", "--output", str(tmp_path / f"out-{after}")]
        command = [*COMMAND, "run", str(write(tmp_path)), *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert kill_server(process.pid, after) or process.poll() is not None
            _, errors = process.communicate()
        assert "Traceback" not in errors, errors
        assert process.returncode in (0, 1), errors
        if process.returncode:
            assert errors.splitlines()[-1].startswith("vmdedup: "), errors


def kill_server(parent: int, after: float) -> bool:
    """Kill the fork server of a process so many seconds after it is there. Returns whether there was one."""
    end = time.monotonic() + 60
    while time.monotonic() < end and running(parent):
        for pid in descendants(parent):
            with suppress(OSError):
                if b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    time.sleep(after)
                    os.kill(pid, 9)
                    return True
        time.sleep(0.005)
    return False
