"""The whole path on real guests: from nothing to results to nothing left, twice, and interrupted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.booted_guest import image_or_skip
from vmdedup.errors import EnvironmentLacksError
from vmdedup.live.ksm.lock import KsmLock
from vmdedup.live.ksm.sysfs import KsmFiles
from vmdedup.live.provision.playbook import find_ansible
from vmdedup.result.opening import open_result

pytestmark = [pytest.mark.qemu, pytest.mark.slow]

LIMIT = 480  # seconds for a run; about 100 on two idle cores
SCENARIO = """
title = "two alike guests and their files"
duration = "10s"
seed = 3
[ksm]
run = 1
pages_to_scan = 20000
[[guests]]
name = "files"
count = 2
memory = "160MiB"
workload = "fileserver"
parameters = { files = 300, read_mib_s = 2, write_mib_s = 0.1 }
"""


@pytest.fixture(scope="module", autouse=True)
def machine() -> None:
    """A machine that can run real guests, by Ansible."""
    image_or_skip("debian")
    missing = [program for program in ("virsh", "libvirtd", "qemu-system-x86_64") if shutil.which(program) is None]
    if missing:
        pytest.skip(f"missing: {', '.join(missing)}; run python -m tests.system as root")
    try:
        find_ansible()
    except EnvironmentLacksError as lacking:
        pytest.skip(str(lacking))


@pytest.fixture
def tunables() -> Iterator[None]:
    """Whatever a test does, KSM's tunables are as before afterwards."""
    before = look_at_tunables()
    yield
    assert look_at_tunables() == before


def look_at_tunables() -> dict[str, str]:
    """The tunables while nobody uses KSM."""
    lock = KsmLock(wait=LIMIT)
    files = KsmFiles()
    try:
        return files.save()
    finally:
        files.close()
        lock.close()


def start(folder: Path, output: str, *more: str) -> subprocess.Popen[str]:
    """Start `vmdedup live run` on the scenario above."""
    scenario = folder / "mini.toml"
    scenario.write_text(SCENARIO)
    command = [sys.executable, "-m", "vmdedup", "live", "run", str(scenario), "--json", "--wait", f"{LIMIT}s"]
    command += ["--accel", "tcg", "--output", str(folder / output), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def what_is_left() -> list[str]:
    """Domains of ours, and QEMU processes of these guests."""
    listed = subprocess.run(["virsh", "-q", "list", "--all", "--name"], capture_output=True, text=True, check=True)
    left = [name for name in listed.stdout.split() if name.startswith("vmdedup-mini")]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if b"guest=vmdedup-mini" in (entry / "cmdline").read_bytes():
                    left.append(entry.name)
            except OSError:
                continue
    return left


def test_from_nothing_to_results_to_nothing_left_twice(tmp_path: Path, tunables: None) -> None:
    """The first run provisions twice: the second time, nothing changes on any host."""
    for number, more in enumerate([("--again",), ()]):
        process = start(tmp_path, f"run{number}", *more)
        out, err = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, err
        document = json.loads(out)
        steps = document["provision"]["steps"]
        again = [step["changed"] for step in steps if step["playbooks"] == ["prepare", "images", "guests", "workload"]]
        assert again == [dict.fromkeys(["hypervisor", "vmdedup-mini-files-0", "vmdedup-mini-files-1"], 0)] * len(more)
        check_results(tmp_path / f"run{number}")
        assert what_is_left() == []
        assert not list(tmp_path.glob("*.ansible.log")), "the log is with the results"


def check_results(path: Path) -> None:
    """What two alike guests must show: sharing between them, seen by ksmd and counted by us alike."""
    result = open_result(path)
    assert result.run["backend"] == "qemu"
    assert result.run["ended"] == "complete"
    last = result.summary
    assert last["counters"]["full_scans"] >= 2
    assert last["between_guests_mib"] > 10
    assert last["saved_mib"] >= last["between_guests_mib"]
    assert [guest["state"] for guest in last["guests"]] == ["running", "running"]
    assert all(guest["ksm_merging_pages"] > 1000 for guest in last["guests"])
    assert len(result.series) >= 5
    for name in ("vmdedup-mini-files-0", "vmdedup-mini-files-1"):
        said = (path / "guests" / f"{name}.txt").read_text()
        assert "MemTotal" in said
        assert "ready 300 files" in said
    assert "TASK workload : Start the workload" in (path / "ansible.log").read_text()


def wait_for_word(log: Path, word: str, process: subprocess.Popen[str]) -> None:
    """Wait until the log of a run holds a word."""
    deadline = time.monotonic() + LIMIT
    while not (log.exists() and word in log.read_text()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_ctrl_c_while_measuring_keeps_the_results(tmp_path: Path, tunables: None) -> None:
    process = start(tmp_path, "cut", "--duration", "1h")
    wait_for_word(tmp_path / "cut.ansible.log", "TASK measure : Let ksmd work", process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert "interrupted; the results so far are in" in err
    result = open_result(tmp_path / "cut")
    assert result.run["ended"] == "interrupted"
    assert len(result.series) >= 1
    assert "ready 300 files" in (tmp_path / "cut" / "guests" / "vmdedup-mini-files-1.txt").read_text()
    assert what_is_left() == []


def test_a_run_that_is_killed_leaves_nothing(tmp_path: Path, tunables: None) -> None:
    process = start(tmp_path, "killed")
    log = tmp_path / "killed.ansible.log"
    wait_for_word(log, "TASK workload : Start the workload", process)
    folder = Path(log.read_text().split(" -i ")[1].split()[0]).parent
    assert folder.is_dir()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=LIMIT)
    deadline = time.monotonic() + 60
    while what_is_left() or folder.exists():
        assert time.monotonic() < deadline, what_is_left()
        time.sleep(0.1)
