"""Processes that make runs, one for each thread that wants some: so a run that takes its process with it costs itself.

perform() is what threads of this process call, and what Dask calls on other machines: one way, wherever a run is made.
"""

from __future__ import annotations

import pickle
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from vmdedup.closing import Closing
from vmdedup.errors import WorkerDiedError
from vmdedup.ours import child

TRIES: Final = 2  # of a run whose process was killed
DIED: Final = "died"  # how a run ended whose process was killed each time


class Child:
    """A process of sweep.child."""

    def __init__(self) -> None:
        pipes: dict[str, Any] = {"stdin": child.PIPE, "stdout": child.PIPE, "stderr": child.DEVNULL}
        self._process: child.Process[bytes] = child.start(child.python_module("vmdedup.sweep.child"), **pipes)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def run(self, scenario: bytes) -> dict[str, Any]:
        """Have a run made of a pickled scenario. Returns what sweep.child.figures does. WorkerDiedError: it is gone."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(scenario)
            self._process.stdin.flush()
            found: dict[str, Any] = pickle.load(self._process.stdout)
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            raise WorkerDiedError(f"the process of the run {self._end()}") from None
        return found

    def _end(self) -> str:
        status = self._process.wait()
        return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"

    def close(self) -> None:
        """Have it end, in order; its run is lost."""
        with suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]

    def wait(self) -> None:
        """Until it has ended."""
        self._process.wait()
        self._process.stdout.close()  # type: ignore[union-attr]


class Children(Closing):
    """The children of this process, one a thread. Closed, it ends them all, and no other begins until begin()."""

    def __init__(self) -> None:
        self._own = threading.local()
        self._lock = threading.Lock()
        self._all: dict[Child, str] = {}  # and the sweep that each works for
        self._stopped = False
        self._ended: set[str] = set()

    def run(self, scenario: bytes, sweep: str = "") -> dict[str, Any]:
        """Have this thread's child make a run; another one, if that dies, makes it once more. sweep: see end()."""
        for left in reversed(range(TRIES)):
            one = self._mine(sweep)
            try:
                return one.run(scenario)
            except WorkerDiedError as error:
                self._forget(one)
                if not left:
                    return {"ended": DIED, "reason": f"{error}, {TRIES} times; is there memory enough?"}
        raise AssertionError("unreachable: tries end")

    def _mine(self, sweep: str) -> Child:
        with self._lock:
            if self._stopped or sweep in self._ended:
                raise WorkerDiedError("no more runs are made")
            if getattr(self._own, "child", None) not in self._all:
                self._own.child = Child()
            found: Child = self._own.child
            self._all[found] = sweep
            return found

    def _forget(self, one: Child) -> None:
        with self._lock:
            self._all.pop(one, None)
        one.close()
        one.wait()

    def end(self, sweep: str) -> None:
        """End the runs of one sweep, which wants no more of them."""
        with self._lock:
            self._ended.add(sweep)
            ending = [one for one, its in self._all.items() if its == sweep]
            for one in ending:
                del self._all[one]
        _end_all(ending)

    def begin(self) -> None:
        """Let runs be made, again."""
        self._stopped = False

    def close(self) -> None:
        """End them, and wait for that."""
        with self._lock:
            self._stopped = True
            ending = list(self._all)
            self._all.clear()
            self._own = threading.local()
        _end_all(ending)


def _end_all(ending: Sequence[Child]) -> None:
    """Have them end beside each other."""
    for one in ending:
        one.close()
    for one in ending:
        one.wait()


CHILDREN: Final = Children()


def perform(scenario: bytes) -> dict[str, Any]:
    """One run of a pickled scenario: ended, reason and figures."""
    return CHILDREN.run(scenario)
