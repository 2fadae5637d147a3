"""Processes stopped for a moment, and running again afterwards whatever happens to us.

They are held by ptrace: the kernel itself lets them go when the thread that holds them ends, so that nobody stays
stopped even if all of our processes are killed at once. Who was stopped before stays so.
"""

from __future__ import annotations

import ctypes
import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vmdedup.errors import EnvironmentLacksError, VmdedupError

_PATIENCE = 10.0  # seconds for all threads to stop; one that waits for a disk may take its time
_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17  # ptrace(2)
_ALL_THREADS = 0x40000000  # __WALL: waitpid(2) of threads too
_STILL, _DEAD = "TtZXx", "ZXx"  # state letters in /proc


class Pauses:
    """Processes that can be stopped, by the thread that made this. pids: which; anyone: and whoever comes later."""

    def __init__(self, pids: Sequence[int], anyone: bool = False) -> None:
        self._anyone = anyone
        self._pids = [pid for pid in pids if not _is_stopped(pid)]

    @contextmanager
    def stopped(self, pid: int) -> Iterator[None]:
        """The process stands still inside; one that stood still before is left alone.

        EnvironmentLacksError: it must not be stopped. VmdedupError: it does not stop.
        """
        if pid not in self._pids and not (self._anyone and not _is_stopped(pid)):
            yield
            return
        held: dict[int, int] = {}
        try:
            _hold(pid, held)
            yield
        finally:
            for thread, signal in held.items():
                _let_go(thread, signal)


def _hold(pid: int, held: dict[int, int]) -> None:
    """Stop all threads. held: gets each with the signal that it was about to be given, or 0."""
    end, seen = time.monotonic() + _PATIENCE, set[int]()
    while new := _threads(pid) - seen:  # those that run may start others
        seen |= new
        for thread in [thread for thread in new if _seize(pid, thread)]:
            status = _wait(thread, end)
            if status is None:
                raise VmdedupError(f"process {pid} does not stop; try again, or leave --pause out")
            if os.WIFSTOPPED(status):
                held[thread] = 0 if status >> 16 else os.WSTOPSIG(status)


def _seize(pid: int, thread: int) -> bool:
    """Ask a thread to stop. Returns whether it lives."""
    for request in (_SEIZE, _INTERRUPT):
        failed = _ptrace(request, thread, 0)
        if failed == errno.ESRCH or (failed and _state(pid, thread) in _DEAD):
            return False
        if failed:
            why = "not permitted, or a debugger has it"
            raise EnvironmentLacksError(f"process {pid} cannot be paused ({why}); run as root, or leave --pause out")
    return True


def _let_go(thread: int, signal: int) -> None:
    """Have a thread go on; one that was killed while it was held is let die."""
    if _ptrace(_DETACH, thread, signal) == errno.ESRCH:
        _wait(thread, time.monotonic() + _PATIENCE)


def _wait(thread: int, end: float) -> int | None:
    """What has become of a thread that is held, as waitpid(2) says it, 0 if it is gone; None: nothing until `end`."""
    while time.monotonic() < end:
        try:
            found, status = os.waitpid(thread, os.WNOHANG | _ALL_THREADS)
        except ChildProcessError:
            return 0
        if found:
            return status
        time.sleep(0.0005)
    return None


def _ptrace(request: int, thread: int, data: int) -> int:
    """0, or the error's number."""
    call: Callable[..., int] = _libc().ptrace
    return ctypes.get_errno() if call(request, thread, ctypes.c_void_p(0), ctypes.c_void_p(data)) else 0


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _threads(pid: int) -> set[int]:
    try:
        return {int(name) for name in os.listdir(f"/proc/{pid}/task")}
    except OSError:
        return set()  # it has ended


def _is_stopped(pid: int) -> bool:
    """Whether all threads stand still: stopped, traced, or dead."""
    states = [_state(pid, thread) for thread in _threads(pid)]
    return bool(states) and all(state in _STILL for state in states)


def _state(pid: int, thread: int) -> str:
    """The state letter of a thread; "X" if it is gone."""
    try:
        return Path(f"/proc/{pid}/task/{thread}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"
