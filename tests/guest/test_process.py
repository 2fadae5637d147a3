"""Guests in worker processes: the same stores as in this process, and a clear end however a worker ends."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.guest_ram import DISK, spec
from kit.processes import private_kib, until
from vmdedup.errors import GuestError, UsageError
from vmdedup.guest.diskspec import DiskSpec, open_disk
from vmdedup.guest.machine import Guest
from vmdedup.guest.spec import GuestSpec
from vmdedup.guest.vm import GuestProcess
from vmdedup.host.logs import Logs
from vmdedup.host.memory import Host
from vmdedup.jit import PYTHON_MODE

SHARED = open_disk(DISK)
PRIVATE_LIMIT_KIB = 30 * 1024


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host.create(3 * 64 * 256)
    yield made
    made.close()


@pytest.fixture
def start(host: Host) -> Iterator[Callable[..., GuestProcess]]:
    """Start a guest; whatever still lives at the end is killed."""
    made: list[GuestProcess] = []

    def begin(given: GuestSpec, **options: Any) -> GuestProcess:
        disk = options.pop("disk", SHARED)
        process = GuestProcess(given, host, host.add(given.memory_pages, given.name).mm, disk, **options)
        made.append(process)
        process.start()
        return process

    yield begin
    for process in made:
        process.kill()


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_life(start: Callable[..., GuestProcess], host: Host) -> None:
    guest = start(spec(workload="webdb"))
    assert guest.ready().state == "booting"
    for _ in range(20):
        guest.begin_tick(50)
        stats = guest.finish_tick()
    assert (stats.state, stats.virtual_ms) == ("running", 1000)
    assert guest.verify() > 1000
    assert guest.stats == stats
    guest.pause()
    with pytest.raises(GuestError, match="guest 'g' is paused, not running"):
        guest.begin_tick(50)
    guest.resume()
    assert guest.reboot().boots == 2
    assert guest.tick(50).virtual_ms == 1050
    assert host.frames_in_use() > 0
    assert guest.leave().state == guest.state == "left"
    assert not guest.is_alive()
    assert guest.exitcode == 0
    assert host.frames_in_use() == 0
    host.check()


def test_the_same_bytes_as_in_this_process(start: Callable[..., GuestProcess], host: Host) -> None:
    given = spec(workload="build", seed=3)
    local = Guest(given, host.add(given.memory_pages), SHARED)
    local.boot()
    remote = start(given)
    for _ in range(10):
        remote.begin_tick(100)
        if PYTHON_MODE:  # there, nothing is atomic between processes
            remote.finish_tick()
        local.tick(100)
        assert remote.finish_tick() == local.stats()
    assert host.memory(remote.mm).digest() == local.memory.digest()
    host.check()


@pytest.mark.parametrize("during", ["between ticks", "in a tick", "free", "starting"])
def test_a_killed_worker_is_reported_and_never_waited_for(start: Callable[..., GuestProcess], during: str) -> None:
    guest = start(spec(workload="stress", parameters={"stores_s": 10_000_000}))
    pid = guest.pid
    assert pid is not None
    if during != "starting":
        guest.tick(200)
    if during == "in a tick":
        guest.begin_tick(10_000)
    elif during == "free":
        guest.run_free()
    os.kill(pid, signal.SIGKILL)
    act = {"between ticks": lambda: guest.tick(10), "free": guest.peek}.get(during, guest.finish_tick)
    with pytest.raises(GuestError, match="guest 'g' died: its worker process was ended by SIGKILL"):
        act()
    assert guest.state == "dead"
    assert guest.exitcode == -signal.SIGKILL
    with pytest.raises(GuestError, match="guest 'g' is dead"):
        guest.begin_tick(1)


def test_a_guest_that_breaks_down_says_why(start: Callable[..., GuestProcess]) -> None:
    guest = start(spec("db", workload="phases", parameters={"fill_share": 1.0, "mib_s": 10_000}))
    with pytest.raises(GuestError, match="guest 'db' is out of memory"):
        ticks(guest, 100)
    assert guest.state == "dead"
    assert not guest.is_alive()
    wrong = start(spec("web", parameters={"stores": 1}))
    with pytest.raises(UsageError, match="workload 'idle' has no parameter 'stores'"):
        wrong.ready()


def ticks(guest: GuestProcess, count: int) -> None:
    for _ in range(count):
        guest.tick(100)


def test_an_interrupt_is_the_parents_business(start: Callable[..., GuestProcess]) -> None:
    guest = start(spec())
    assert guest.pid is not None
    os.kill(guest.pid, signal.SIGINT)
    guest.ready()
    os.kill(guest.pid, signal.SIGINT)
    assert guest.tick(50).virtual_ms == 50


def test_running_free(start: Callable[..., GuestProcess]) -> None:
    calm, eager = start(spec("calm")), start(spec("eager", workload="stress"))
    began = time.monotonic()
    for guest in (calm, eager):
        guest.tick(2000)
        guest.run_free()
    until(lambda: calm.peek().virtual_ms > 2200 and eager.peek().virtual_ms > 2020)
    calm.pause()
    assert calm.stats.virtual_ms - 2000 <= 1000 * (time.monotonic() - began)
    assert calm.state == "paused"
    eager.reboot()
    assert eager.state == "free"
    assert eager.stop_free().boots == 2
    eager.tick(2000)
    assert eager.verify() > 0
    assert calm.leave().state == "left"


def test_what_a_worker_logs_reaches_the_parent(start: Callable[..., GuestProcess], tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"file{number:02d}").write_bytes(b"x" * 100_000)
    disk = open_disk(DiskSpec(str(tmp_path)))
    (tmp_path / "file07").write_bytes(b"")
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    with Logs(handler) as logs:
        guest = start(spec(disk=DiskSpec(str(tmp_path))), disk=disk, logs=logs.channel())
        guest.tick(3000)
        until(lambda: any("file07 has shrunk" in said for said in records))


def test_a_worker_adds_little_memory_of_its_own(start: Callable[..., GuestProcess]) -> None:
    guest = start(spec(mib=64, workload="webdb"))
    for _ in range(30):
        guest.tick(100)
    assert guest.pid is not None
    assert 0 < private_kib(guest.pid) < PRIVATE_LIMIT_KIB


@pytest.mark.slow
def test_a_worker_on_a_disk_of_many_files_adds_little_memory_of_its_own() -> None:
    disk, host = open_disk(DiskSpec("/usr")), Host.create(32768)
    given = spec(mib=128, disk=DiskSpec("/usr"), workload="fileserver", parameters={"read_mib_s": 100})
    guest = GuestProcess(given, host, host.add(given.memory_pages).mm, disk)
    guest.start()
    try:
        ticks(guest, 50)
        assert guest.pid is not None
        assert 0 < private_kib(guest.pid) < PRIVATE_LIMIT_KIB
    finally:
        guest.kill()


SCRIPT = """
import os, signal, sys
from vmdedup.guest.diskspec import DiskSpec, open_disk
from vmdedup.guest.vm import GuestProcess, GuestSpec
from vmdedup.host.memory import Host
from vmdedup.jit import PYTHON_MODE

disk = DiskSpec(kind="generated", mib=8)
host = Host.create(4096)
parameters = {"stores_s": 10_000_000}
spec = GuestSpec("g", 4096, disk, workload="stress", parameters=parameters)
guest = GuestProcess(spec, host, host.add(4096).mm, open_disk(disk))
guest.start()
guest.tick(500)
server = open(f"/proc/{guest.pid}/stat").read().rpartition(")")[2].split()[1]
how = sys.argv[1]
if how == "busy":
    guest.begin_tick(60_000)
elif how == "free":
    guest.run_free()
print(guest.pid, server, flush=True)
if how != "exit":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("how", ["standing", "busy", "free", "exit"])
def test_workers_do_not_outlive_their_parent(tmp_path: Path, how: str) -> None:
    """Also shows that a script needs no guard around what it does."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, str(script), how], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        parent.wait(20)
    until(lambda: gone(pids[0]), seconds=1.0)
    until(lambda: gone(pids[1]))
