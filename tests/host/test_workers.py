"""The fork server: nothing of it is left when the process that started it is killed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

DEADLINE_S = 20.0
STARTS_A_SERVER = """
import time
from multiprocessing import forkserver, util
from vmdedup.host.workers import fork_server
fork_server()
forkserver.ensure_running()
print(util.get_temp_dir(), flush=True)
time.sleep(100)
"""


@pytest.mark.compiled
def test_a_server_without_workers_ends_with_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", STARTS_A_SERVER], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        folder = Path(parent.stdout.readline().strip())
        assert list(folder.glob("listener-*"))
        parent.kill()
    end = time.monotonic() + DEADLINE_S
    while folder.exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert not folder.exists()
