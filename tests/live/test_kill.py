"""However a run on the kernel ends, its processes are gone and every tunable is as before."""

import os
import signal
import subprocess
import sys
from random import Random

import pytest

from kit.processes import wait_for_death
from kit.tunables import tunables

pytestmark = pytest.mark.kernel

PROGRAM = """
import sys
from vmdedup.live.scripts.kernel import KernelMachine
from vmdedup.live.ksm.session import KsmSession
from vmdedup.replay.content import Key, Zero
with KsmSession(wait=120) as session, KernelMachine(session) as machine:
    for knob, value in [("max_page_sharing", "2"), ("use_zero_pages", "1"), ("advisor_max_cpu", "33"),
                        ("stable_node_chains_prune_millisecs", "77"), ("advisor_mode", "scan-time")]:
        machine.set(knob, value)
    machine.vm("a", 300)
    machine.fork("a", "b")
    machine.fork("b", "c")
    machine.exit("b")
    workers = [worker.pid for worker in machine._workers.values()]
    print(*workers, session.nursery._process.pid, flush=True)
    for turn in range(int(sys.argv[1])):
        machine.fill("a", 0, 299, Key(turn // 3))
        machine.fill("c", 0, 99, Zero())
        machine.scan(450)
        print(turn, machine.counters()["pages_shared"], flush=True)
"""


@pytest.fixture(autouse=True)
def _needs_kernel() -> None:
    program = "from vmdedup.live.ksm.session import KsmSession; KsmSession(wait=120).close()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    if "EnvironmentLacksError" in done.stderr and not os.environ.get("VMDEDUP_REQUIRE_KERNEL"):
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr


def run_and_send(number: signal.Signals | None, turns: int) -> int:
    """Run the program, send a signal after so many lines (None: let it end). Returns its exit status."""
    count = str(turns if number is None else 1_000_000)
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, count], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        pids = [int(word) for word in process.stdout.readline().split()]
        assert len(pids) == 3
        for _ in range(turns):
            process.stdout.readline()
        if number is not None:
            process.send_signal(number)
        process.stdout.read()
    for pid in pids:
        wait_for_death(pid)
    return process.returncode


@pytest.mark.parametrize("number", [None, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_nothing_is_left(number: signal.Signals | None) -> None:
    before = tunables()
    assert run_and_send(number, 5) == (0 if number is None else -number)
    assert tunables() == before
    assert before["pages_shared"] == "0"


def test_killed_at_random_moments() -> None:
    before = tunables()
    random = Random(1)
    for _ in range(12):
        assert run_and_send(signal.SIGKILL, random.randrange(30)) == -signal.SIGKILL
        assert tunables() == before
