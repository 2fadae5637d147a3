"""The kernel as backend of scenarios: in lockstep, every counter of every row is the emulator's."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.kernel_runs import SESSION, differing, patiently, run_on, scaled
from kit.small_runs import SMALL, Acting, Watching, check_that_the_second_died, kill_guest, run
from vmdedup.api.hypervisor import Hypervisor
from vmdedup.errors import EnvironmentLacksError, HostError, UsageError
from vmdedup.live.guardian.guardian import Guardian
from vmdedup.live.ksm.lock import KsmLock
from vmdedup.live.ksm.session import KsmSession
from vmdedup.live.memory.huge import HUGE_PAGES, huge_pages_as_asked
from vmdedup.run.backend import kernel
from vmdedup.run.emulation import Emulation
from vmdedup.run.measure.rows import Row
from vmdedup.run.run import COMPLETE, INTERRUPTED
from vmdedup.scenario.overrides import Overrides

pytestmark = [pytest.mark.kernel, pytest.mark.compiled]

# The kernel prunes chains by real time, which two runs have in common only if it is always, or (an hour) never.
ALWAYS, NEVER = "stable_node_chains_prune_millisecs=0", "stable_node_chains_prune_millisecs=3600000"
EQUAL = [
    ("identical", 3, "16MiB", "8s"),
    ("identical", 2, "16MiB", "8s", "run=0"),
    ("churn", 6, "8MiB", "60s", "max_page_sharing=4", ALWAYS),
    ("mixed", 6, "16MiB", "6s", "max_page_sharing=16"),
    ("build", 3, "16MiB", "6s", "smart_scan=0"),
    ("webdb", 3, "16MiB", "8s", "sleep_millisecs=7", "pages_to_scan=1777"),
    ("phases", 3, "16MiB", "12s", "use_zero_pages=1", "max_page_sharing=8", ALWAYS),
    ("sequential-boot", 3, "8MiB", "25s"),
    ("advisor", 4, "16MiB", "25s", "advisor_target_scan_time=2"),
]
HUGE = [
    ("identical", 3, "16MiB", "8s"),
    ("mixed", 4, "16MiB", "6s", "use_zero_pages=1"),
]
MERGEABLE = """
import mmap, sys
memory = mmap.mmap(-1, 8192, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.madvise(mmap.MADV_MERGEABLE)
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module", autouse=True)
def _kernel() -> Iterator[None]:
    with patiently():
        yield


@pytest.fixture
def intruder() -> Iterator[subprocess.Popen[str]]:
    """A process that makes memory mergeable when its standard input has a line, and ends when that ends."""
    code = f"import sys\nsys.stdin.readline()\n{MERGEABLE}"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True) as process:
        yield process
        process.kill()


def intrude(process: subprocess.Popen[str]) -> None:
    """Return when the intruder's memory is mergeable."""
    assert process.stdin is not None
    assert process.stdout is not None
    print(file=process.stdin, flush=True)
    process.stdout.readline()


# The same counters


@pytest.mark.slow
@pytest.mark.parametrize("case", EQUAL, ids=lambda case: "-".join(map(str, case)))
def test_lockstep_is_equal_to_the_emulator(case: tuple[str, int, str, str]) -> None:
    scenario = scaled(*case, *(() if ALWAYS in case else (NEVER,)))
    emulated, real = run_on("emulator", scenario), run_on("kernel", scenario)
    assert (emulated.run["backend"], real.run["backend"]) == ("emulator", "kernel")
    assert real.run["ended"] == COMPLETE
    unknown = {"cow_breaks"} if "use_zero_pages=1" in case else set()
    apart = {*unknown, "ksmd_cpu_s"}  # billed by prices here, measured there
    assert not differing(emulated.series.drop(apart), real.series.drop(apart))
    assert real.series["cow_breaks"].is_null().all() == bool(unknown)
    assert not differing(emulated.guests, real.guests)
    assert not differing(emulated.matrix, real.matrix)
    assert emulated.run["events"] == real.run["events"]
    if "run=0" not in case:
        assert real.series["pages_sharing"][-1] > 100


@pytest.mark.slow
@pytest.mark.skipif(not HUGE_PAGES.exists(), reason="this kernel has no huge pages")
@pytest.mark.parametrize("case", HUGE, ids=lambda case: "-".join(map(str, case)))
def test_lockstep_with_huge_pages(case: tuple[str, int, str, str]) -> None:
    scenario = scaled(*case, NEVER, huge_pages="madvise")
    emulated = run_on("emulator", scenario)
    with Guardian() as guardian:
        huge_pages_as_asked(guardian)  # the kernel's khugepaged comes by at moments of its own
        real = run_on("kernel", scenario)
    both = [name for name in real.series.columns if name not in ("ksmd_cpu_s", "cow_breaks")]
    assert not set(both) - set(emulated.series.columns)
    assert not differing(emulated.series.select(both), real.series.select(both))
    assert not differing(emulated.guests, real.guests)
    assert not differing(emulated.matrix, real.matrix)
    last = emulated.series.row(-1, named=True)
    assert last["split_zero_pages"] > 0 < last["thp_split_page"]
    assert last["thp_collapse_alloc"] == 0


def test_two_runs_leave_the_same_bytes_and_the_kernel_s_time_is_measured(tmp_path: Path) -> None:
    one, two = (run(tmp_path, backend="kernel") for _ in range(2))
    assert not differing(one.series.drop("ksmd_cpu_s"), two.series.drop("ksmd_cpu_s"))
    assert 0 < one.timing["ksmd_cpu_measured_s"][-1] < 60
    assert one.summary["backend"] == "kernel"


def test_only_the_guests_memory_is_mergeable_in_small_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[list[str]] = []

    def look(emulation: Emulation) -> None:
        for guest in emulation.guests.values():
            maps = Path(f"/proc/{guest.pid}/smaps").read_text()
            areas = re.findall(r"^Size: +(\d+) kB.*?^VmFlags: ([a-z0-9 ]+)$", maps, re.MULTILINE | re.DOTALL)
            found.append([f"{size} {'nh' in flags.split()}" for size, flags in areas if "mg" in flags.split()])

    run(tmp_path, watcher=Acting(1, look, monkeypatch), backend="kernel")
    assert found == [["8192 True"]] * 3


# Real time


class UntilMerged(Watching):
    """Ends a run when a guest has left, and what the others can share is shared."""

    ended = False

    def sample(self, row: Row) -> None:
        super().sample(row)
        merged = row["saved_pages"] > 0.9 * row["possible_pages"] > 0
        if merged and row["guests"] == 2 and row["full_scans"] > 2 and not self.ended:
            self.ended = True
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("advisor", ["none", "scan-time"])
def test_wall_clock(advisor: str, tmp_path: Path) -> None:
    knobs = "pages_to_scan = 1000" if advisor == "none" else 'advisor_mode = "scan-time"\nadvisor_target_scan_time = 1'
    text = (
        SMALL.replace("pages_to_scan = 1000", knobs) + '[[guests.events]]\nat = "1500ms"\ndo = "leave"\nguests = [1]\n'
    )
    result = run(tmp_path, text, Overrides(clock="wall", duration="2min"), UntilMerged(), backend="kernel")
    assert result.run["ended"] == INTERRUPTED
    assert result.guests["state"].to_list() == ["running", "left", "running"]
    last = result.series.row(-1, named=True)
    assert last["saved_pages"] > 0.9 * last["possible_pages"] > 0
    assert last["pages_sharing"] >= last["saved_pages"]
    assert last["saved_pages"] == last["zero_pages"] + last["within_guest_pages"] + last["between_guests_pages"]
    assert last["full_scans"] > 2
    assert last["pages_to_scan"] == 1000 if advisor == "none" else last["pages_to_scan"] > 0
    assert last["ksmd_cpu_s"] > 0


# Deaths and intruders


def test_a_killed_guest_is_reported_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(tmp_path, watcher=Acting(1, kill_guest(1), monkeypatch), backend="kernel")
    check_that_the_second_died(result)


def test_an_interrupt_keeps_the_results_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = Acting(2, lambda emulation: signal.raise_signal(signal.SIGINT), monkeypatch)
    result = run(tmp_path, overrides=Overrides(duration="1h"), watcher=watcher, backend="kernel")
    assert result.run["ended"] == INTERRUPTED
    assert 2.0 <= result.series["time_s"][-1] < 10.0


def test_an_intruder_is_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, intruder: subprocess.Popen[str]
) -> None:
    watcher = Acting(1, lambda emulation: intrude(intruder), monkeypatch)
    events = run(tmp_path, watcher=watcher, backend="kernel").run["events"]
    assert [event["text"].split(" (")[0] for event in events] == [f"process {intruder.pid}"]


# Refusals


def test_other_mergeable_memory_is_refused_with_the_process_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, intruder: subprocess.Popen[str]
) -> None:
    lock = KsmLock(wait=120)
    try:
        monkeypatch.setattr(SESSION, KsmSession)
        monkeypatch.setattr("vmdedup.live.ksm.session.KsmLock", lambda wait: KsmLock(tmp_path / "another"))
        intrude(intruder)
        with pytest.raises(EnvironmentLacksError, match=rf"process {intruder.pid} \(python.* has mergeable memory"):
            run(tmp_path, backend="kernel")
        intruder.kill()
        intruder.wait()
    finally:
        lock.close()


def test_a_kernel_in_use_is_refused_with_its_user_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SESSION, KsmSession)
    lock = KsmLock(wait=120)
    try:
        with pytest.raises(EnvironmentLacksError, match=f"in use by process {os.getpid()}"):
            run(tmp_path, backend="kernel")
    finally:
        lock.close()


@pytest.mark.parametrize(
    ("keys", "memory", "error", "words"),
    [
        ({"numa_nodes": 2}, "8MiB", UsageError, "numa_nodes: .* leave it out"),
        ({"memory": "4MiB"}, "8MiB", UsageError, r"host.memory: .* leave it out"),
        ({}, "64TiB", HostError, "64TiB before anything is merged"),
    ],
)
def test_what_the_kernel_cannot_do_is_said(
    keys: dict[str, object], memory: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        kernel.check(Hypervisor(**keys).add(memory=memory).scenario())


def test_memory_that_guests_cannot_exceed_is_no_limit() -> None:
    kernel.check(Hypervisor(memory="64MiB").add(memory="8MiB").scenario())


def test_from_python() -> None:
    watcher = Watching()
    guests = Hypervisor(pages_to_scan=1000).add(2, memory="8MiB", disk={"kind": "generated", "mib": 16})
    result = guests.run("2s", watcher, on="kernel")
    assert result.run["backend"] == "kernel"
    assert len(watcher.rows) == len(result.series) == 3
