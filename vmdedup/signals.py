"""Signals that ask a command to end: Ctrl-C, SIGTERM (timeout, systemd, docker stop), SIGHUP (the terminal is gone).

All three mean the same here: end in order, keep what was done. They differ in the exit status only, which is 128 and
the signal's number. A signal that was ignored when the command started (nohup) stays ignored.
"""

from __future__ import annotations

import os
import signal
from _thread import get_native_id  # as threading does, whose import takes more memory than a small scan

TYPE_CHECKING = False  # as typing's, whose import takes more memory than a small scan
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_last: list[int] = []


def interrupted_status() -> int:
    """The exit status of a command that was asked to end: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""
    return 128 + (_last[-1] if _last else signal.SIGINT)


def end_on_signals() -> None:
    """From now on each of them raises KeyboardInterrupt in the main thread, as Ctrl-C does."""
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
