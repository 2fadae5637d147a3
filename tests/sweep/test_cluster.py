"""vmdedup sweep on Dask: the same rows as without it, also if a worker is killed; what cannot be is told in a line."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from kit.dask_machines import Machines, machines
from kit.sweeps import RUNS, VARY, tiny
from vmdedup.cli import run_command
from vmdedup.result.sweep_directory import ROWS, TABLE

pytest.importorskip("distributed", reason="needs dask.distributed: pip install 'vmdedup[cluster]'")
pytestmark = pytest.mark.compiled

# The command several times in one process, with shorter waits: NAME=VALUE before it goes into afar.scheduler.
SEVERAL = """
import sys
import vmdedup
from vmdedup.cli import run_command
from vmdedup.afar import scheduler
from vmdedup.afar.code import code
for command in sys.argv[1:]:
    values, words = [], command.split()
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        if name == "version":
            vmdedup.__version__ = value
            code.cache_clear()
        else:
            setattr(scheduler, name, float(value))
    print("status", run_command(words), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with machines(tmp_path_factory.mktemp("dask"), apart=False) as made:
        yield made


@pytest.fixture(scope="module")
def scheduler(hosts: Machines) -> str:
    return hosts.start_scheduler()


def refusals(hosts: Machines, *commands: str) -> list[str]:
    """What each of them says, with its status before it."""
    done = hosts.run(sys.executable, "-c", SEVERAL, *commands)
    lines = done.stderr.splitlines()
    assert len(lines) == 2 * len(commands), done.stderr
    assert not done.stdout
    return [f"{status.removeprefix('status ')} {line}" for line, status in zip(lines[::2], lines[1::2], strict=True)]


def test_who_does_not_answer_is_waited_for_a_bounded_time(hosts: Machines, scheduler: str, tmp_path: Path) -> None:
    sweep = f"sweep {tiny(tmp_path)} -o {tmp_path / 'out'} --scheduler"
    nobody, nothing, words = refusals(
        hosts,
        f"PATIENCE=0.3 {sweep} tcp://{hosts.addresses[0]}:9",
        f"{sweep} nonsense://x",
        f"WORKERS_PATIENCE=0.3 {sweep} {scheduler}",
    )
    assert nobody.startswith(f"1 vmdedup: no Dask scheduler answers at tcp://{hosts.addresses[0]}:9 (")
    assert nothing.startswith("1 vmdedup: no Dask scheduler answers at nonsense://x (")
    assert words == f"1 vmdedup: {scheduler} has no worker; start some: dask worker {scheduler}"
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_three_hosts_with_networks_of_their_own(tmp_path: Path) -> None:
    with machines(tmp_path, apart=True) as hosts:
        vary = ("--vary", "pages_to_scan=200..1000:200", "--vary", "guests=1,2", "--seeds", "4")
        _lose_a_worker(hosts, hosts.start_scheduler(), tmp_path, vary, 40)


def test_a_worker_killed_in_the_middle_costs_no_row(hosts: Machines, scheduler: str, tmp_path: Path) -> None:
    _lose_a_worker(hosts, scheduler, tmp_path, (*VARY, "--seeds", "2"), 2 * RUNS)
    _refuses_what_would_differ(hosts, scheduler, tmp_path)
    _scans_where_dumps_lie(hosts, scheduler, tmp_path)


def _lose_a_worker(hosts: Machines, scheduler: str, tmp_path: Path, vary: Sequence[str], runs: int) -> None:
    """Kill one of two when a quarter of the runs is made: all rows, the same as without Dask."""
    assert run_command(["sweep", tiny(tmp_path), *vary, "-q", "-o", str(tmp_path / "plain")]) == 0
    victim = hosts.start_worker(1, scheduler)
    hosts.start_worker(2, scheduler)
    words = ["sweep", tiny(tmp_path), *vary, "--json", "-o", str(tmp_path / "out"), "--scheduler", scheduler]
    command = [*hosts.hosts[0], sys.executable, "-m", "vmdedup", *words]
    rows = tmp_path / "out" / ROWS
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        while process.poll() is None and not (rows.exists() and rows.read_bytes().count(b"\n") >= runs // 4):
            time.sleep(0.01)
        assert rows.read_bytes().count(b"\n") < runs
        victim.send_signal(signal.SIGKILL)
        _, said = process.communicate()
    assert process.returncode == 0, said
    assert rows.read_bytes().count(b"\n") == runs
    assert (tmp_path / "out" / TABLE).read_bytes() == (tmp_path / "plain" / TABLE).read_bytes()
    assert said.splitlines()[0].startswith("Dask's dashboard: http://")
    assert said.splitlines()[1:] == [f"results: {tmp_path / 'out'}"]


def _refuses_what_would_differ(hosts: Machines, scheduler: str, folder: Path) -> None:
    """With the worker that is left."""
    lacking = folder / "lacking.toml"
    lacking.write_text(
        Path(tiny(folder)).read_text().replace('{ kind = "generated", mib = 8 }', '{ path = "/no/disk" }')
    )
    more = f"-o {folder / 'none'} --scheduler {scheduler}"
    version, disk = refusals(hosts, f"sweep {lacking} {more}", f"version=another sweep {tiny(folder)} {more}")[::-1]
    assert version.startswith("4 vmdedup: worker tcp://")
    assert ", here is another (code " in version
    assert version.endswith("; install the same on all machines")
    assert "lacks what the scenario needs: disk '/no/disk' does not exist" in disk
    assert not (folder / "none").exists()


def _scans_where_dumps_lie(hosts: Machines, scheduler: str, folder: Path) -> None:
    """Fingerprints come from there; counted they are as here."""
    dumps = [folder / f"{name}.raw" for name in "ab"]
    for number, dump in enumerate(dumps):
        dump.write_bytes(bytes(4096) * 2 + b"both" * 2048 + bytes([65 + number]) * 4096)
    words = [sys.executable, "-m", "vmdedup", "scan", "--json"]
    there = hosts.run(*words, "--scheduler", scheduler, f"{folder}/*.raw")
    here = hosts.run(*words, *map(str, dumps))
    assert there.returncode == here.returncode == 0, there.stderr
    found, same = json.loads(there.stdout), json.loads(here.stdout)
    assert found["total"] == same["total"]
    host = socket.gethostname()
    assert [dump["name"].partition(":")[0] for dump in found["dumps"]] == [host, host]
    assert found["salt_id"] is not None  # what travels is salted
    nowhere, lacking, contents = refusals(
        hosts,
        f"scan -q --scheduler {scheduler} other:/a.raw",
        f"scan -q --scheduler {scheduler} {host}:/no/such.raw",
        f"scan -q --scheduler {scheduler} --subpage /a.raw",
    )
    assert (
        nowhere
        == f"2 vmdedup: 'other:/a.raw': write HOST:DUMP, the host one of {host}; or /PATH, which all of them have"
    )
    assert lacking.startswith(f"2 vmdedup: {host}: ")
    assert "/no/such.raw" in lacking
    assert contents.startswith("2 vmdedup: --subpage needs contents")
