"""Hosts emulated on Dask: what they deliver is the same as here; a scheduler that does not answer is told in a line."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import numpy as np
import pytest

from kit.dask_machines import machines
from vmdedup.units import PAGE_SIZE

pytest.importorskip("distributed", reason="needs dask.distributed: pip install 'vmdedup[cluster]'")
pytestmark = pytest.mark.compiled

PLACE = ("--host-memory", "2MiB", "--algorithm", "tree", "--emulate", "2s", "--json")
UNREACHABLE = """
import sys
from vmdedup.afar import scheduler
from vmdedup.cli import run_command
scheduler.PATIENCE = 0.5
sys.exit(run_command(sys.argv[1:]))
"""


def test_dask_delivers_what_processes_here_do(tmp_path: Path) -> None:
    pages = np.random.default_rng(1).integers(0, 256, (300, PAGE_SIZE), dtype=np.uint8)
    dumps = []
    for number, first in enumerate((0, 100, 200)):
        dumps.append(str(tmp_path / f"{number}.raw"))
        pages[first : first + 100].repeat(2, axis=0).tofile(dumps[-1])
    command = (sys.executable, "-m", "vmdedup", "place", *dumps, *PLACE)
    with machines(tmp_path, apart=False) as hosts:
        here = hosts.run(*command, "--jobs", "1")
        with socket.socket() as unheard:
            unheard.bind(("127.0.0.1", 0))
            port = unheard.getsockname()[1]
            lost = hosts.run(sys.executable, "-c", UNREACHABLE, *command[3:], "--scheduler", f"tcp://127.0.0.1:{port}")
        address = hosts.start_scheduler()
        hosts.start_worker(1, address)
        there = hosts.run(*command, "--scheduler", address)
    assert (lost.returncode, lost.stdout, lost.stderr.count("\n")) == (1, "", 1)
    assert "no Dask scheduler answers at" in lost.stderr
    assert here.returncode == 0, here.stderr
    assert there.returncode == 0, there.stderr
    found = [json.loads(done.stdout)["plans"][0] for done in (here, there)]
    for plan in found:
        del plan["seconds"]
    assert found[0] == found[1]
    assert found[0]["delivered_mib"] == pytest.approx(300 / 256, abs=0.001)
