"""Real guests under a libvirt daemon of the tests' own: measured, compared, and gone however a run ends."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kit.private_libvirt import PrivateLibvirt, why_not
from vmdedup.image.store import Image, require
from vmdedup.live.guardian.guardian import Guardian
from vmdedup.live.guests.connection import Connection
from vmdedup.live.guests.fleet import Fleet, Order
from vmdedup.live.guests.removal import list_ours
from vmdedup.live.ksm.lock import KsmLock
from vmdedup.live.ksm.sysfs import KsmFiles
from vmdedup.live.memory.guest import mergeable_mappings
from vmdedup.live.memory.huge import HUGE_PAGES
from vmdedup.result.opening import open_result
from vmdedup.result.tables import records

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.slow,
    pytest.mark.compiled,
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
]

ONE = """
name = "testone"
duration = "{duration}"
[host]
sample_interval = "200ms"
[ksm]
run = 1
pages_to_scan = 20000
sleep_millisecs = 5
[[guests]]
name = "vm"
workload = "idle"
memory = "128MiB"
disk = {{ image = "tiny" }}
"""
FOREIGN = """<domain type="qemu"><name>vmdedup-testone-vm</name><memory unit="MiB">64</memory>
<os><type>hvm</type></os></domain>"""


@pytest.fixture(scope="module")
def image() -> Image:
    """The image of all guests here, built if it is not."""
    return require("tiny")


@pytest.fixture(scope="module")
def daemon(image: Image) -> Iterator[PrivateLibvirt]:
    """A daemon that tests may kill, if they start it again."""
    with tempfile.TemporaryDirectory(prefix="vmdedup-lv-", dir="/tmp") as folder:
        libvirt = PrivateLibvirt(Path(folder))
        libvirt.start()
        yield libvirt
        libvirt.kill()


def scenario(folder: Path, duration: str = "2s") -> Path:
    """A scenario with one guest."""
    path = folder / "one.toml"
    path.write_text(ONE.format(duration=duration))
    return path


def command(daemon: PrivateLibvirt, *words: str | Path) -> list[str]:
    """vmdedup live …, connected to the tests' daemon."""
    return [sys.executable, "-m", "vmdedup", "live", *map(str, words), "--connect", daemon.uri]


def vmdedup(daemon: PrivateLibvirt, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(command(daemon, *words), capture_output=True, text=True, timeout=400)


def run_words(path: Path, output: Path) -> tuple[str | Path, ...]:
    """A run without Ansible that waits for the kernel's KSM."""
    return "run", path, "--direct", "--wait", "10min", "--accel", "tcg", "--output", output


def machine_state() -> dict[str, str]:
    """KSM's tunables and huge pages, at a moment when nobody has changed any."""
    lock, files = KsmLock(wait=600), KsmFiles()
    try:
        return files.save() | {"pages_shared": files.text("pages_shared"), "huge": HUGE_PAGES.read_text()}
    finally:
        files.close()
        lock.close()


def qemu_processes(word: str = "guest=vmdedup-testone-vm,") -> list[int]:
    """Pids of QEMU processes that run a guest of ours."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found += [int(entry.name)] if word.encode() in (entry / "cmdline").read_bytes() else []
            except OSError:
                continue
    return found


def wait_for(look: Callable[[], object], patience: float = 60.0) -> None:
    """Until look() finds something."""
    end = time.monotonic() + patience
    while not look():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def left_behind(daemon: PrivateLibvirt) -> list[str]:
    """Domains and folders of ours that are there."""
    with Connection(daemon.uri) as connection:
        domains = [ours.name for ours in list_ours(connection)]
    return domains + [str(path) for path in Path(tempfile.gettempdir()).glob("vmdedup-live-*")]


def is_measuring(process: subprocess.Popen[str]) -> bool:
    """Whether ksmd scans for a run of ours."""
    assert process.poll() is None, process.communicate()
    return bool(qemu_processes()) and Path("/sys/kernel/mm/ksm/sleep_millisecs").read_text() == "5\n"


def has_rows(output: Path) -> bool:
    """Whether a run has written down a row."""
    rows = output / "series.jsonl"
    return rows.exists() and rows.stat().st_size > 0


def test_kernel_and_emulator_agree_on_three_guests(daemon: PrivateLibvirt) -> None:
    """Huge pages are as QEMU and the kernel made them; the second comparison begins with what the first one left."""
    before = machine_state()
    done = vmdedup(daemon, "verify", "twins", "--wait", "10min", "--accel", "tcg", "--json", "--scans", "3")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["verification"]
    assert found["equal"]
    assert [one["knobs"]["use_zero_pages"] for one in found["comparisons"]] == ["0", "1"]
    for one in found["comparisons"]:
        assert len(one["pages"]) == 3
        assert min(one["pages"].values()) > 10_000
        last = one["scans"][-1]["kernel"]
        assert last["full_scans"] == 3
        assert last["pages_sharing"] > 10_000
        assert (last["ksm_zero_pages"] > 0) == (one["knobs"]["use_zero_pages"] == "1")
        assert last["alike-0.ksm_merging_pages"] > last["pages_shared"] // 3
    if "[never]" not in HUGE_PAGES.read_text():
        first, second = (list(one["huge_pages"].values()) for one in found["comparisons"])
        assert min(first) > 20_000
        assert sum(second) < sum(first) // 2
    assert machine_state() == before
    assert not left_behind(daemon)


def test_agreement_once_huge_pages_are_split(daemon: PrivateLibvirt, tmp_path: Path) -> None:
    words = ("verify", scenario(tmp_path), "--wait", "10min", "--accel", "tcg", "--json", "--huge-pages", "split")
    done = vmdedup(daemon, *words, "--set", "use_zero_pages=0")
    assert done.returncode == 0, done.stderr + done.stdout[-4000:]
    (one,) = json.loads(done.stdout)["verification"]["comparisons"]
    assert one["equal"]
    if "[never]" not in HUGE_PAGES.read_text():
        assert sum(one["huge_pages"].values()) > 0


def test_a_measured_run(daemon: PrivateLibvirt, tmp_path: Path) -> None:
    output, dumps = tmp_path / "results", tmp_path / "dumps"
    done = vmdedup(daemon, *run_words(scenario(tmp_path), output), "--pause", "--dump", dumps)
    assert done.returncode == 0, done.stderr
    result = open_result(output)
    assert (result.run["backend"], result.run["ended"]) == ("qemu", "complete")
    (guest,) = records(result.guests)
    assert (guest["guest"], guest["state"]) == ("vm", "paused")
    last = records(result.series)[-1]
    # Two ways to the same figures: page flags and frames here, KSM's own counters there, which still have what a guest
    # has copied since ksmd last came by.
    stale = last["pages_sharing"] + last["ksm_zero_pages"] - last["saved_pages"]
    assert 0 <= stale <= last["cow_breaks"]
    assert guest["ksm_merging_pages"] == last["pages_shared"] + last["pages_sharing"]
    assert 0 < last["saved_pages"] <= last["possible_pages"]
    assert len(result.series) > 5
    dump = dumps / "vm.raw"
    assert dump.stat().st_size == 128 << 20
    assert b"Linux version 6" in dump.read_bytes()
    assert not left_behind(daemon)


def test_a_guest_that_never_boots(daemon: PrivateLibvirt, tmp_path: Path) -> None:
    before = machine_state()
    done = vmdedup(daemon, *run_words(scenario(tmp_path), tmp_path / "out"), "--boot-limit", "200ms")
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "vmdedup-testone-vm is not up after 0.2 s; give it more time or memory; its console:" in done.stderr
    assert not (tmp_path / "out").exists()
    assert not left_behind(daemon)
    assert machine_state() == before


def test_a_name_that_is_taken(daemon: PrivateLibvirt, tmp_path: Path) -> None:
    with Connection(daemon.uri) as connection:
        foreign = connection.raw.defineXML(FOREIGN)
        try:
            done = vmdedup(daemon, *run_words(scenario(tmp_path), tmp_path / "out"))
            removal = vmdedup(daemon, "remove", "vmdedup-testone-vm")
            everything = vmdedup(daemon, "remove", "--all", "--force")
            assert foreign.isPersistent()
        finally:
            foreign.undefine()
    assert done.returncode == 1
    assert "domain vmdedup-testone-vm exists and is not ours; choose another name" in done.stderr
    assert removal.returncode == 2
    assert "is not one of vmdedup's" in removal.stderr
    assert (everything.returncode, everything.stdout) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_ended_in_the_middle(daemon: PrivateLibvirt, tmp_path: Path, number: signal.Signals) -> None:
    before, output = machine_state(), tmp_path / "out"
    words = command(daemon, *run_words(scenario(tmp_path, "10min"), output), "--huge-pages", "never")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: is_measuring(process) and has_rows(output), 500)
        process.send_signal(number)
        process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert open_result(output).run["ended"] == "interrupted"
    else:
        assert process.returncode == -signal.SIGKILL
        assert open_result(output).run["ended"] == "killed", "its rows so far are there"
    wait_for(lambda: not qemu_processes())
    assert machine_state() == before
    wait_for(lambda: not left_behind(daemon))


def test_the_daemon_is_killed_in_the_middle(daemon: PrivateLibvirt, tmp_path: Path) -> None:
    before, output = machine_state(), tmp_path / "out"
    words = command(daemon, *run_words(scenario(tmp_path, "4s"), output), "--pause")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: is_measuring(process), 500)
        daemon.kill()
        try:
            _, said = process.communicate(timeout=60)
        finally:
            daemon.start()
    assert process.returncode == 4
    assert "libvirtd has gone" in said
    assert "vmdedup live remove --all" in said
    assert "Traceback" not in said
    assert open_result(output).run["ended"] == "complete"
    assert not qemu_processes()
    assert machine_state() == before
    assert not left_behind(daemon)


def test_memory_that_is_not_to_be_merged(daemon: PrivateLibvirt, image: Image) -> None:
    with Guardian() as guardian, Connection(daemon.uri) as connection:
        fleet = Fleet(connection, guardian, "test")
        try:
            guest = fleet.start(Order("vm", "vmdedup-testone-vm", image, 128, sharing=False))
            assert fleet.pids == {}
            assert mergeable_mappings(guest.pid) == []
            (ours,) = list_ours(connection)
            assert (ours.state, ours.memory_mib, ours.mark.image) == ("running", 128, "tiny")
            assert (ours.mark.owner, ours.mark.is_owned()) == (os.getpid(), True)
            guest.pause()
            assert guest.is_paused()
            guest.dump(fleet.folder / "dump.elf", "elf")
            assert (fleet.folder / "dump.elf").read_bytes()[:4] == b"\x7fELF"
        finally:
            fleet.stop()
        assert not left_behind_domains(connection)
    assert not fleet.folder.exists()


def left_behind_domains(connection: Connection) -> list[str]:
    """Names of domains of ours."""
    return [ours.name for ours in list_ours(connection)]
