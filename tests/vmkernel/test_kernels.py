"""Real kernels in guests: scripts print there what was recorded on the same kernels, and nothing is left of them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vmdedup.api.scripts import replay_script
from vmdedup.cli import run_command
from vmdedup.conform.suite import kept
from vmdedup.errors import GuestError, UsageError
from vmdedup.ours import child
from vmdedup.replay.play import play
from vmdedup.replay.script import parse, parse_text
from vmdedup.vmkernel.guest import Guest
from vmdedup.vmkernel.qemu import QEMU
from vmdedup.vmkernel.session import Booted

pytestmark = pytest.mark.guest
FOLDER = Path(__file__).parent.parent / "golden"
VERSIONS = ("6.1", "7.2")
# One of each group of recorded scripts.
NAMES = (
    "first-steps",
    "chains-exit-1",
    "everything-2",
    "exit-run2-knobs-3",
    "fork-exit-2",
    "smart-1",
    "zero-discard-2",
)
SCRIPTS = [FOLDER / f"{name}.ksm" for name in NAMES] + sorted((FOLDER / "versions").glob("*.ksm"))
# Each step that only kernels in guests can do, at least once; what it prints is the same on all kernels asked here.
STEPS = """vm a 512 huge
poke a 3 0 7
kinds
hugepage a 0..511
nohugepage a 0..511
vm b 4 node=1 plain
fill b 0..3 seed 1+
nodes
migrate b 0..1 0
migrate b 2 0 all
node b 0
nodes
exec b mergeable
kinds
cgroup b
fill b 0..3 seed 1+
swapon
pageout b 0..3
kinds
swapoff
kinds
sys /sys/kernel/mm/transparent_hugepage/enabled never
show /sys/kernel/mm/transparent_hugepage/enabled
sys /sys/kernel/mm/none 1
show /sys/kernel/mm/none
wait 1
drain off
drain
drain on
pass 2
digest
"""
PRINTED = """{"line": 3, "kinds": {"a": "h512"}}
{"line": 8, "nodes": {"a": "0x512", "b": "1x4"}}
{"line": 9, "migrate": 0, "status": "0x2"}
{"line": 10, "migrate": 0, "status": "0x1"}
{"line": 12, "nodes": {"a": "0x512", "b": "0x3 1x1"}}
{"line": 14, "kinds": {"a": "h512", "b": ".4"}}
{"line": 19, "kinds": {"a": "h512", "b": "s4"}}
{"line": 21, "kinds": {"a": "h512", "b": "a4"}}
{"line": 23, "/sys/kernel/mm/transparent_hugepage/enabled": "always madvise [never]"}
{"line": 24, "error": "ENOENT"}
{"line": 25, "/sys/kernel/mm/none": null}
"""


@pytest.fixture(scope="module", params=VERSIONS)
def booted(request: pytest.FixtureRequest) -> Iterator[tuple[str, Booted]]:
    """A kernel of the cache; skips, saying why, where there is none, or no QEMU."""
    with opened(request.param) as kernel:
        yield request.param, kernel


def opened(version: str) -> Booted:
    """That kernel, which boots when it is asked."""
    if child.find(QEMU) is None:
        pytest.skip(f"needs {QEMU}")
    try:
        return Booted(version)
    except UsageError as missing:
        pytest.skip(str(missing))


def recorded(script: Path, version: str) -> str:
    """What a kernel of that version printed."""
    places = script.parent / version, script.parent / "kernels" / version, script.parent
    return next(path for place in places if (path := place / f"{script.stem}.jsonl").exists()).read_text()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_prints_what_was_recorded(script: Path, booted: tuple[str, Booted]) -> None:
    version, kernel = booted
    parsed = parse(script)
    assert "".join(f"{line}\n" for line in play(parsed, kernel.machine(parsed))) == recorded(script, version)


def test_the_steps_of_guests_alone(booted: tuple[str, Booted]) -> None:
    """Twice: the second time shows that nothing is left of the first."""
    script = parse_text(STEPS, Path())
    for _ in range(2):
        machine = booted[1].machine(script)
        *lines, digest = play(script, machine)
        assert "".join(f"{line}\n" for line in lines) == PRINTED
        assert len(digest) > 100
        figures = machine.mem()
        assert figures["vmstat"]["pswpout"] == 4
        assert figures["kB"]["b"]["Rss"] == 16
        assert machine.status("b")["ksm_rmap_items"] == 4


def test_two_kernels_beside_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    script = str(FOLDER / "versions" / "v-01-stable-first.ksm")
    for version in VERSIONS:
        opened(version)
    assert run_command(["replay", script, "--on", "vm:7.2,emulator:7.2,vm:6.1"]) == 3
    said = capsys.readouterr().err
    assert "vm:7.2" in said
    assert "* pages_volatile" in said


def test_a_file_that_is_no_kernel(tmp_path: Path) -> None:
    opened("7.2")
    (tmp_path / "bzImage").write_bytes(b"no kernel at all" * 1000)
    with pytest.raises(GuestError, match=r"the guest has ended.*see that the kernel boots in QEMU"):
        Guest(tmp_path / "bzImage")


def test_qemu_is_killed_with_its_command() -> None:
    opened("7.2")
    words = [sys.executable, "-m", "vmdedup", "replay", "-", "--on", "vm:7.2"]
    command = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert command.stdin is not None
    assert command.stdout is not None
    with command:
        command.stdin.write("vm a 1\ncounters\nwait 600000\n")
        command.stdin.close()
        assert command.stdout.readline().startswith('{"line": 2, ')
        (qemu,) = Path(f"/proc/{command.pid}/task/{command.pid}/children").read_text().split()
        command.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{qemu}/cmdline").exists() and Path(f"/proc/{qemu}/cmdline").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("version", "status", "causes"),
    [
        ("7.2", 0, []),
        ("6.1", 3, ["files", "checksum_first", "fork_starts_anew", "zero_pages_known", "chain_of_one_goes"]),
    ],
)
def test_whether_it_conforms(
    version: str, status: int, causes: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In short: the smallest scripts for differences of small pages, and two random ones."""
    opened(version)
    small = [item for item in kept() if "versions" in item.subjects and item.name < "v-07"]
    monkeypatch.setattr("vmdedup.conform.suite.kept", lambda: small)
    words = ["conform", f"vm:{version}", "--as", "6.18", "--scripts", "2", "--json"]
    assert run_command(words) == status
    shown = json.loads(capsys.readouterr().out)
    assert [one["cause"] for one in shown["differences"]] == causes
    assert all(len(one["script"]) <= 10 for one in shown["differences"])


def test_from_python() -> None:
    opened("7.2")
    script = FOLDER / "first-steps.ksm"
    assert replay_script(script, on="vm:7.2") == [json.loads(line) for line in recorded(script, "7.2").splitlines()]
