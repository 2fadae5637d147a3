"""Work in a fork: answers, errors, deaths. In a process of its own, as forks of one with threads are unsafe."""

from __future__ import annotations

import subprocess
import sys

import pytest

PRELUDE = """
import os, signal
from vmdedup.errors import DumpError, WorkerDiedError
from vmdedup.scan.child import Child, can_fork
assert can_fork() or len(os.sched_getaffinity(0)) == 1
def failing(orphan):
    raise DumpError("a.raw: is damaged")
"""


@pytest.mark.parametrize(
    ("code", "printed"),
    [
        ("print(Child(lambda orphan: [1, (b'x' * 100000, {2: 3})]).result() == [1, (b'x' * 100000, {2: 3})])", "True"),
        ("try: Child(failing).result()\nexcept DumpError as error: print(error)", "a.raw: is damaged"),
        (
            "try: Child(lambda orphan: os.kill(os.getpid(), 9)).result()\nexcept WorkerDiedError as e: print(e)",
            "a process of this scan was killed; is there memory enough? scan again",
        ),
        ("child = Child(lambda orphan: signal.pause()); child.kill(); child.kill(); print('ended')", "ended"),
        ("print(Child(lambda orphan: os.kill(os.getpid(), signal.SIGINT) or 7).result())", "7"),
        ("print(Child(lambda orphan: orphan()).result())", "False"),
    ],
    ids=["answer", "error", "killed", "unwanted", "ctrl-c", "parent"],
)
def test_child(code: str, printed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code], capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == (printed + "\n", "")


def test_threads_forbid_it() -> None:
    code = PRELUDE + "import threading; stay = threading.Event(); t = threading.Thread(target=stay.wait); t.start()\n"
    code += "print(can_fork()); stay.set(); t.join()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"
