"""Processes stopped for a moment, and running again afterwards whatever happens to us."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from vmdedup.errors import EnvironmentLacksError, VmdedupError
from vmdedup.ours import child

_PATIENCE = 10.0  # seconds for all threads to stop; one that waits for a disk may take its time
# It waits until its standard input ends, which is when we do, however that comes about.
_GUARD = "trap '' INT TERM HUP; read -r never; kill -CONT \"$@\" 2>/dev/null"


class Pauses:
    """A context in which processes can be stopped. pids: which; a guard resumes them should we be killed."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = [pid for pid in pids if not _is_stopped(pid)]

    def __enter__(self) -> Self:
        self._guard: child.Process[bytes] | None = None
        if self._pids:
            command = ["/bin/sh", "-c", _GUARD, "sh", *map(str, self._pids)]
            self._guard = child.start(command, stdin=child.PIPE, start_new_session=True, cwd="/")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()

    @contextmanager
    def stopped(self, pid: int) -> Iterator[None]:
        """The process stands still inside; one that stood still before is left alone."""
        if pid not in self._pids:
            yield
            return
        try:
            os.kill(pid, signal.SIGSTOP)
            _await_stop(pid)
            yield
        except PermissionError:
            raise EnvironmentLacksError(f"process {pid} cannot be paused (not permitted); run as root") from None
        finally:
            with suppress(OSError):
                os.kill(pid, signal.SIGCONT)


def _await_stop(pid: int) -> None:
    end = time.monotonic() + _PATIENCE
    while not _is_stopped(pid):
        if not Path(f"/proc/{pid}").exists():
            return
        if time.monotonic() > end:
            raise VmdedupError(f"process {pid} does not stop; try again, or leave --pause out")
        time.sleep(0.001)


def _is_stopped(pid: int) -> bool:
    """Whether all threads stand still: stopped, traced, or dead."""
    try:
        states = [_state_of(task) for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return False
    return bool(states) and all(state in "TtZXx" for state in states)


def _state_of(folder: Path) -> str:
    """The state letter of a process or thread, by its folder in /proc; "X" if it is gone."""
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"
