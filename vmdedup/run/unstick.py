"""Nobody keeps a run from ending: once it is asked to end, a process of ours that is stopped (SIGSTOP) is killed.

A ksmd or guest that somebody stopped answers nothing, and waiting for it would have no end. While the run goes on it is
waited for, since whoever stopped it may let it go on; when the run is to end, that is over after a moment's patience.
What is killed is mourned as if anybody had killed it, so results and consistency are as ever.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from vmdedup.signals import Interrupt

PATIENCE: Final = 3.0  # seconds from the wish to end until stopped processes are killed
_LOOK_S: Final = 0.2
_STOPPED: Final = ("T", "t")  # by a signal, by a tracer


class Unstick:
    """A context manager: from the wish to end until leaving, stopped children are killed."""

    def __init__(self, interrupt: Interrupt, patience: float = PATIENCE) -> None:
        self._interrupt, self._patience = interrupt, patience
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="vmdedup-unstick", daemon=True)

    def _watch(self) -> None:
        while not self._interrupt.wanted:
            if self._over.wait(_LOOK_S):
                return
        until = time.monotonic() + self._patience
        while not self._over.wait(_LOOK_S):
            if self._interrupt.insisted or time.monotonic() > until:
                kill_stopped()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()


def kill_stopped() -> None:
    """Kill those workers of this process that stand still because of a signal."""
    for child in multiprocessing.active_children():
        if child.pid is not None and _state(child.pid) in _STOPPED:
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)


def _state(pid: int) -> str:
    """The letter of /proc/PID/stat; nothing if it has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""
