"""The real ksmd: recorded scripts, single batches, tunables, processes. Needs root and an idle KSM."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vmdedup.errors import EnvironmentLacksError, GuestError, HostError, KnobError
from vmdedup.live.ksm.session import KsmSession
from vmdedup.live.prices.timing import KernelTimer
from vmdedup.live.scripts.kernel import KernelMachine
from vmdedup.replay.content import Key, Seed, Zero
from vmdedup.replay.emulated import emulated
from vmdedup.replay.play import play
from vmdedup.replay.script import parse, parse_text

pytestmark = pytest.mark.kernel

GOLDEN = sorted((Path(__file__).parent.parent / "golden").glob("*.ksm"))
MERGEABLE = """
import mmap, sys
memory = mmap.mmap(-1, 8192, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.madvise(mmap.MADV_MERGEABLE)
print(flush=True)
sys.stdin.read()
"""
REFUSED = [("max_page_sharing", "3"), ("max_page_sharing", "1"), ("run", "3"), ("smart_scan", "2")]


@pytest.fixture(scope="module")
def session(require_kernel_ksm: KsmSession) -> KsmSession:
    """The kernel's KSM; every tunable must be as before when it is given back."""
    return require_kernel_ksm


@pytest.fixture
def machine(session: KsmSession) -> Iterator[KernelMachine]:
    with KernelMachine(session) as machine:
        yield machine


def shared(machine: KernelMachine) -> tuple[int, int, int, int]:
    """Return pages_shared, pages_sharing, pages_unshared, pages_volatile."""
    figures = machine.counters()
    names = ("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile")
    shared, sharing, unshared, volatile = (figures[name] for name in names)
    return shared, sharing, unshared, volatile


@pytest.mark.parametrize("script", GOLDEN, ids=lambda path: path.stem)
def test_recorded_scripts(session: KsmSession, script: Path) -> None:
    with KernelMachine(session) as machine:
        lines = list(play(parse(script), machine))
    assert lines == script.with_suffix(".jsonl").read_text().splitlines()


HUGE = """
vm a 1024 huge
vm b 512 huge
vm c 512
fill a 0..511 seed 1+
fill a 512..700 zero
fill b 0..99 seed 1+
fill b 100..511 seed 5000+
fill c 0..99 seed 1+
nohugepage b 300..301
discard a 600..610
pass
counters
pass
counters
sharing
hugepage c 0..511
pass 2
counters
sharing
digest
"""


def test_huge_pages_as_the_emulator_has_them(session: KsmSession) -> None:
    with KernelMachine(session) as machine:
        lines = list(play(parse_text(HUGE, Path()), machine))
    with emulated(parse_text(HUGE, Path()), os.uname().release) as machine:
        assert list(play(parse_text(HUGE, Path()), machine)) == lines
    assert json.loads(lines[1])["pages_sharing"] >= 199


def test_batches_are_exact(machine: KernelMachine) -> None:
    machine.vm("a", 10)
    machine.fill("a", 0, 9, Seed(1, 1))
    scanned = []
    for _ in range(3):
        machine.scan(3)
        scanned.append(machine.counters()["pages_scanned"])
    machine.scan(5)
    figures = machine.counters()
    assert scanned == [3, 6, 9]
    assert (figures["pages_scanned"], figures["full_scans"]) == (10, 1)  # cut at the end of the full scan


def test_a_batch_of_nothing_scans_nothing(machine: KernelMachine) -> None:
    machine.vm("a", 2)
    machine.fill("a", 0, 1, Zero())
    machine.scan(0)
    assert machine.counters()["pages_scanned"] == 0


def test_without_processes_nothing_happens(machine: KernelMachine) -> None:
    machine.scan(10)
    machine.full_pass(1000)
    assert machine.counters()["full_scans"] == 0


def test_the_dead_are_cleaned_up_after(machine: KernelMachine) -> None:
    machine.vm("a", 3)
    machine.fill("a", 0, 2, Key(1))
    machine.full_pass(2)
    machine.exit("a")
    assert shared(machine) == (1, 2, 0, 0)
    machine.full_pass()
    assert shared(machine) == (0, 0, 0, 0)
    assert machine.counters()["full_scans"] == 3
    machine.full_pass()  # nobody is on ksmd's list any more
    assert machine.counters()["full_scans"] == 3


@pytest.mark.parametrize("value", ["0", "2"])
def test_a_stopped_ksmd_does_not_scan(machine: KernelMachine, value: str) -> None:
    machine.vm("a", 3)
    machine.fill("a", 0, 2, Key(1))
    machine.set("run", value)
    machine.scan(2)
    machine.full_pass(2)
    assert machine.counters()["pages_scanned"] == 0
    machine.set("run", "1")
    machine.scan(2)
    assert machine.counters()["pages_scanned"] == 2


def test_scans_are_exact_whatever_the_script_sets(machine: KernelMachine) -> None:
    machine.vm("a", 8)
    machine.fill("a", 0, 7, Seed(1, 1))
    machine.set("sleep_millisecs", "0")
    machine.set("pages_to_scan", "1000")
    machine.scan(2)
    machine.set("advisor_mode", "scan-time")
    machine.scan(2)
    with pytest.raises(KnobError, match="EINVAL"):
        machine.set("pages_to_scan", "5")
    machine.scan(2)
    machine.set("advisor_mode", "none")
    machine.set("pages_to_scan", "5")
    assert machine.counters()["pages_scanned"] == 6


def test_a_process_off_the_list_is_not_scanned(machine: KernelMachine) -> None:
    machine.vm("a", 2)
    machine.fill("a", 0, 1, Zero())
    machine.full_pass(2)
    machine.unmergeable("a", 0, 1)
    machine.full_pass(2)
    scans = machine.counters()["full_scans"]
    machine.full_pass()
    assert machine.counters()["full_scans"] == scans
    machine.mergeable("a", 0, 1)
    machine.full_pass()
    assert machine.counters()["full_scans"] == scans + 1


def test_refusals_have_the_kernel_s_names(machine: KernelMachine) -> None:
    machine.vm("a", 2)
    machine.fill("a", 0, 1, Zero())
    machine.full_pass(2)
    refused = []
    for knob, value in REFUSED:
        with pytest.raises(KnobError) as caught:
            machine.set(knob, value)
        refused.append(caught.value.errno_name)
    assert refused == ["EBUSY", "EINVAL", "EINVAL", "EINVAL"]


def test_a_child_outlives_its_parent(machine: KernelMachine) -> None:
    machine.vm("a", 2)
    machine.fill("a", 0, 1, Key(5))
    machine.fork("a", "b")
    machine.fork("b", "c")
    machine.exit("a")
    machine.exit("b")
    machine.poke("c", 0, 4095, 1)
    page = (5).to_bytes(8, "big").ljust(4096, b"\0")
    assert machine.digest() == {"c": hashlib.sha256(page[:-1] + b"\1" + page).hexdigest()}


def test_sharing_before_and_after(machine: KernelMachine) -> None:
    machine.vm("b", 4)
    machine.fill("b", 0, 2, Key(5))
    machine.vm("a", 12)
    machine.fill("a", 10, 11, Seed(7))
    machine.read("a", 2, 2)
    machine.read("b", 3, 3)
    zero = ["a:2", "b:3"]
    assert machine.sharing() == [zero]
    machine.full_pass(2)
    assert machine.sharing() == [["a:10", "a:11"], zero, ["b:0", "b:1", "b:2"]]


def test_unmapped_pages_are_left_out(machine: KernelMachine) -> None:
    machine.vm("a", 600)
    machine.fill("a", 0, 599, Key(0, 1))
    machine.unmap("a", 1, 598)
    machine.vm("b", 2)
    machine.unmap("b", 0, 1)
    last = (599).to_bytes(8, "big").ljust(4096, b"\0")
    assert machine.digest() == {
        "a": hashlib.sha256(bytes(4096) + last).hexdigest(),
        "b": hashlib.sha256().hexdigest(),
    }
    machine.full_pass()
    assert machine.sharing() == []
    assert machine.counters()["pages_scanned"] == 2


def test_a_killed_worker_is_told(machine: KernelMachine) -> None:
    machine.vm("a", 2)
    os.kill(machine._workers["a"].pid, 9)
    with pytest.raises(GuestError, match="process 'a' died"):
        machine.fill("a", 0, 1, Zero())


def test_too_many_pages(machine: KernelMachine) -> None:
    with pytest.raises(HostError, match="no memory"):
        machine.vm("a", (1 << 47) // 4096)


def test_a_second_user_is_refused(session: KsmSession) -> None:
    with pytest.raises(EnvironmentLacksError, match=f"in use by process {os.getpid()} "):
        KsmSession()


def test_foreign_mergeable_memory_voids_the_run(session: KsmSession) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", MERGEABLE], stdin=pipe, stdout=pipe) as foreign:
        assert foreign.stdout is not None
        machine = KernelMachine(session)
        foreign.stdout.readline()
        with pytest.raises(EnvironmentLacksError, match=f"process {foreign.pid} "), machine:
            pass
        foreign.communicate()


def test_timing_of_full_scans(session: KsmSession) -> None:
    rows = np.random.default_rng(1).integers(0, 256, (64, 4096), np.uint8)
    memories = [np.tile(rows, (32, 1)), rows]
    with KernelTimer(memories, {"max_page_sharing": 100}, session=session) as timer:
        scans = [timer.scan() for _ in range(3)]
    assert [scan.pages_scanned for scan in scans] == [2112] * 3
    assert [scan.counters["pages_shared"] for scan in scans] == [0, 64, 64]
    assert all(0 < scan.cpu_seconds <= scan.wall_seconds + 0.01 for scan in scans)
