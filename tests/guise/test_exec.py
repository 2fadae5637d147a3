"""A program in an emulated host: what it reads, what it may write, how it ends. This machine's KSM stays as it is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kit.shown_hosts import (
    HOST_KSM,
    PYTHON,
    call,
    command,
    host_tunables,
    mounted,
    needs_answers,
    needs_namespaces,
    write,
)
from vmdedup.ksm.profile import FILES
from vmdedup.ksm.sysfs import COUNTERS, TUNABLES

pytestmark = [needs_namespaces]
# What is tried in there: each line of its output is [what, what came of it].
TRIES = """
import errno, json, os, time
KSM = "/sys/kernel/mm/ksm/"
def tell(what, answer):
    print(json.dumps([what, answer]), flush=True)
def read(path):
    with open(path) as file:
        return file.read()
def write(name, text):
    try:
        number = os.open(KSM + name, os.O_WRONLY | os.O_TRUNC)
        try:
            os.write(number, text.encode())
        finally:
            os.close(number)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
tell("names", sorted(os.listdir(KSM)))
tell("texts", {name: read(KSM + name) for name in os.listdir(KSM)})
until = time.monotonic() + 20
while int(read(KSM + "pages_shared")) == 0 and time.monotonic() < until:
    time.sleep(0.05)
for name, text in (
    ("merge_across_nodes", "0"), ("max_page_sharing", "128"), ("run", "3"), ("run", "x"), ("pages_to_scan", "-1"),
    ("max_page_sharing", "9" * 30), ("use_zero_pages", "maybe"), ("advisor_mode", "best"), ("pages_shared", "1"),
    ("pages_to_scan", "4321"), ("sleep_millisecs", "7\\n"), ("run", "0"), ("none", "1"),
):
    tell(f"{name} {text.strip()[:9]}", write(name, text))
tell("pages_to_scan", read(KSM + "pages_to_scan"))
tell("sleep_millisecs", read(KSM + "sleep_millisecs"))
scanned = read(KSM + "pages_scanned")
time.sleep(0.3)
tell("stands", read(KSM + "pages_scanned") == scanned)
with open(KSM + "pages_scanned", "rb", buffering=0) as file:
    tell("in parts", (file.read(2) + file.read(100)).decode() == scanned)
tell("undo", [write("run", "2"), read(KSM + "pages_shared"), write("merge_across_nodes", "0")])
tell("shown", read(KSM + "advisor_mode"))
tell("meminfo", read("/proc/meminfo"))
guests = [pid for pid in os.listdir("/proc") if pid.isdigit() and "qemu" in read(f"/proc/{pid}/comm")]
names = ("cmdline", "ksm_stat", "stat", "statm", "status")
tell("guests", [{name: read(f"/proc/{pid}/{name}") for name in names} for pid in guests])
tell("me", [os.geteuid(), os.getcwd()])
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("told")
    (folder / "tries.py").write_text(TRIES)
    before = host_tunables()
    done = call("exec", write(folder), "--", sys.executable, folder / "tries.py")
    assert done.returncode == 0, done.stderr
    assert host_tunables() == before, "the machine's own KSM was written to"
    return dict(json.loads(line) for line in done.stdout.splitlines())


@needs_answers
def test_all_files_are_there_and_end_in_a_newline(told: dict[str, object]) -> None:
    assert told["names"] == sorted({*TUNABLES, *COUNTERS})
    texts = told["texts"]
    assert isinstance(texts, dict)
    assert all(text.endswith("\n") and text.count("\n") == 1 for text in texts.values())
    assert texts["pages_to_scan"] == "1000\n"


@needs_answers
def test_what_the_kernel_refuses_is_refused_with_its_number(told: dict[str, object]) -> None:
    """EBUSY while pages are shared; the same is done once run=2 has unmerged them."""
    refused = {
        "merge_across_nodes 0": "EBUSY",
        "max_page_sharing 128": "EBUSY",
        "run 3": "EINVAL",
        "run x": "EINVAL",
        "pages_to_scan -1": "EINVAL",
        "max_page_sharing 999999999": "ERANGE",
        "use_zero_pages maybe": "EINVAL",
        "advisor_mode best": "EINVAL",
        "pages_shared 1": "EACCES",
        "none 1": "ENOENT",
    }
    assert {what: told[what] for what in refused} == refused
    assert told["undo"] == ["done", "0\n", "done"]


@needs_answers
def test_writes_go_to_ksmd_and_reads_are_of_the_moment(told: dict[str, object]) -> None:
    assert told["pages_to_scan 4321"] == told["sleep_millisecs 7"] == told["run 0"] == "done"
    assert told["pages_to_scan"] == "4321\n"
    assert told["sleep_millisecs"] == "7\n"
    assert told["stands"], "ksmd scans on, though run is 0"
    assert told["in parts"]
    assert told["shown"] == "[none] scan-time\n"


@needs_answers
def test_memory_and_processes_are_the_emulated_host_s(told: dict[str, object]) -> None:
    meminfo = {name: int(value) for name, value in re.findall(r"^(\w+): +(\d+) kB$", str(told["meminfo"]), re.M)}
    assert meminfo["MemTotal"] == 4096
    assert 0 < meminfo["MemFree"] < 4096
    guests = told["guests"]
    assert isinstance(guests, list)
    (guest,) = guests
    assert guest["cmdline"].startswith("qemu-system-x86_64\0-enable-kvm\0-name\0guest=")
    resident = int(re.findall(r"VmRSS:\s+(\d+) kB", guest["status"])[0])
    assert resident == meminfo["AnonPages"]
    assert int(guest["statm"].split()[1]) == int(guest["stat"].split()[23]) == resident // 4
    assert len(guest["stat"].split()) == 52
    stat = dict(line.replace(":", "").split() for line in guest["ksm_stat"].splitlines())
    assert stat["ksm_merging_pages"] == "0", "run=2 has unmerged all"
    assert stat["ksm_mergeable"] == "yes"


@needs_answers
def test_the_program_is_root_where_it_was_started(told: dict[str, object]) -> None:
    assert told["me"] == [0, os.getcwd()]


@needs_answers
def test_an_older_kernel_has_fewer_files(tmp_path: Path) -> None:
    done = call("exec", write(tmp_path), "--kernel", "6.1", "--", "ls", HOST_KSM)
    assert set(done.stdout.split()) == {*TUNABLES, *COUNTERS} - {
        name for name, since in FILES.items() if since > (6, 1)
    }
    assert "smart_scan" not in done.stdout


def test_what_it_leaves_running_is_waited_for_and_its_status_is_handed_on(tmp_path: Path) -> None:
    left = tmp_path / "left"
    done = call("exec", write(tmp_path), "--", "sh", "-c", f"(sleep 1; echo done > {left}) & exit 7")
    assert done.returncode == 7
    assert left.read_text() == "done\n"


def test_a_run_that_ends_first_ends_the_program_and_keeps_its_rows(tmp_path: Path) -> None:
    began = time.monotonic()
    out = tmp_path / "out"
    done = call("exec", write(tmp_path), "--speed", 5, "--duration", "5s", "-o", out, "--", "sleep", "1000")
    assert time.monotonic() - began < 60
    assert done.returncode == 128 + 15
    assert (out / "series.parquet").exists()
    assert "results:" in done.stderr


def test_nothing_is_left_when_it_is_killed(tmp_path: Path) -> None:
    """Not even by SIGKILL: the program and all stand-ins go, and with them the namespace and its mounts."""
    mark = f"1234567{os.getpid()}"
    process = subprocess.Popen(
        command("exec", write(tmp_path), "--", "sh", "-c", f"echo here; sleep {mark}"),
        env={**os.environ, **PYTHON},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        process.kill()
    until = time.monotonic() + 10
    while (found := processes(mark)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not found


@needs_answers
@pytest.mark.skipif(shutil.which("fusermount3") is None, reason="fusermount3 is not installed (Debian: fuse3)")
def test_no_mount_is_left_when_it_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "host"
    folder.mkdir()
    with mounted(write(tmp_path), folder) as process:
        assert os.path.ismount(folder)
        process.kill()
        process.wait()
        until = time.monotonic() + 10
        while str(folder) in Path("/proc/mounts").read_text() and time.monotonic() < until:
            time.sleep(0.1)
        assert not list(folder.iterdir())


def processes(mark: str) -> list[str]:
    return [path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if mark.encode() in text_of(path)]


def text_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_program_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = call("exec", write(tmp_path), "--", "no-such-program")
    assert (done.returncode, done.stderr) == (
        2,
        "vmdedup: no-such-program is no program here; install it, or give its whole path\n",
    )


def test_a_policy_without_ksm_s_files_is_one_line(tmp_path: Path) -> None:
    done = call("exec", write(tmp_path), "--policy", "esx", "--", "true")
    assert done.returncode == 2
    assert "policy esx has no sys/kernel/mm/ksm; use ksm" in done.stderr
