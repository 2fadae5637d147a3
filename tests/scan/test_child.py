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
        ("print(Child(lambda orphan: os.kill(os.getpid(), signal.SIGTERM) or 7).result())", "7"),
        ("print(Child(lambda orphan: os.kill(os.getpid(), signal.SIGHUP) or 7).result())", "7"),
        ("print(Child(lambda orphan: orphan()).result())", "False"),
    ],
    ids=["answer", "error", "killed", "unwanted", "ctrl-c", "term", "hup", "parent"],
)
def test_child(code: str, printed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code], capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == (printed + "\n", "")


@pytest.mark.parametrize("what", ["os.write(1, b'x' * 100000) and None", "1 / 0", "failing(orphan)", "b'x' * 10**6"])
def test_whoever_has_lost_its_parent_ends_silently(what: str) -> None:
    """The parent is killed; the child finds its pipe without a reader, or whatever else breaks, and nobody is told."""
    code = "def work(orphan):\n    while not orphan(): pass\n    os.set_blocking(1, True)\n"
    code += f"    return {what}\nChild(work)\nos.kill(os.getpid(), 9)"
    command = [sys.executable, "-c", PRELUDE + code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -9
    assert done.stderr == ""


def test_no_memory_in_a_child_is_an_error_of_the_parent() -> None:
    code = "from vmdedup.errors import VmdedupError\ndef work(orphan): raise MemoryError\n"
    code += "try: Child(work).result()\nexcept VmdedupError as error: print(error)"
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code], capture_output=True, text=True, timeout=60, check=True
    )
    assert "not enough memory to scan these" in done.stdout
    assert done.stderr == ""


def test_threads_forbid_it() -> None:
    code = PRELUDE + "import threading; stay = threading.Event(); t = threading.Thread(target=stay.wait); t.start()\n"
    code += "print(can_fork()); stay.set(); t.join()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"
