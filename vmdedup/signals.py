"""Signals that ask a command to end: Ctrl-C, SIGTERM (timeout, systemd, docker stop), SIGHUP (the terminal is gone).

All three mean the same here: end in order, keep what was done. They differ in the exit status only, which is 128 and
the signal's number. A signal that was ignored when the command started (nohup) stays ignored.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from _thread import get_native_id, start_new_thread  # as threading does, whose import takes more memory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType
    from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_last: list[int] = []


class Interrupted(Exception):  # noqa: N818, as KeyboardInterrupt
    """KeyboardInterrupt, where somebody on its way would make something else of it."""


def interrupted_status() -> int:
    """The exit status of a command that was asked to end: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""
    return 128 + (_last[-1] if _last else signal.SIGINT)


def ended_by_signals(work: Callable[[], int]) -> int:
    """Do it while each of them raises KeyboardInterrupt in the main thread, as Ctrl-C does. Returns its exit status.

    Afterwards they are ignored: what is left of the process is to put things away, which none shall cut short.
    """
    sys.unraisablehook = _again
    try:
        end_on_signals()
        status = work()
        ignore_ending()
    except KeyboardInterrupt:  # before the work had begun, or as it was done
        ignore_ending()
        status = interrupted_status()
    # Python notes a KeyboardInterrupt that has passed through text given to exec(), as named tuples are made, and dies
    # of SIGINT at the end although it was caught. It forgets when it executes another text.
    exec("")
    return status


def end_on_signals() -> None:
    """From now on each of them raises KeyboardInterrupt in the main thread."""
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def ignore_ending() -> None:
    """In a process that serves another one: what asks the command to end is the command's business.

    A terminal sends its signals to all processes in it, and systemd sends SIGTERM to all of a service.
    """
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def _end(number: int, frame: FrameType | None) -> None:
    _last.append(number)
    raise KeyboardInterrupt


def _again(lost: sys.UnraisableHookArgs) -> None:
    """Python drops what is raised in a callback of its own, as at the end of an import: send that signal once more."""
    if lost.exc_type is KeyboardInterrupt and _last:
        start_new_thread(_send, (_last[-1],))
    else:
        sys.__unraisablehook__(lost)


def _send(number: int) -> None:
    time.sleep(0.01)  # until that callback is over
    os.kill(os.getpid(), number)


class Interrupt:
    """While entered (by the main thread), the first signal sets `wanted`; another raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.wanted = False
        self.insisted = False  # a second signal has come
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if get_native_id() == os.getpid():  # signals come to the main thread alone
            for number in ENDING:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._interrupted)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def __call__(self) -> bool:
        return self.wanted

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self.wanted:
            self.insisted = True
            _end(number, frame)
        _last.append(number)
        self.wanted = True
