"""A piece of work in a fork of this process, where that is safe: a second core without a second start.

Threads would take turns here, as the work is Python's own; a fork shares all memory that neither writes to.
"""

from __future__ import annotations

import marshal
import os
import signal
import sys
from typing import TYPE_CHECKING

from vmdedup import errors
from vmdedup.signals import ignore_ending

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

DONE, FAILED = b"d", b"f"
NO_MEMORY = "there is not enough memory to scan these; free some, or scan fewer dumps at once"


def can_fork() -> bool:
    """Whether there is a core for a child, and no thread in this process whose locks a child would inherit."""
    try:
        return len(os.sched_getaffinity(0)) > 1 and len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


class Child:
    """work(is_orphan) in a fork; what it returns is made of plain values. It ignores Ctrl-C, SIGTERM and SIGHUP.

    is_orphan() says whether the process that wants the work has gone, so that nobody waits for it.
    """

    def __init__(self, work: Callable[[Callable[[], bool]], Any]) -> None:
        self._parent = os.getpid()
        self._answer, answer = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            self._run(work, answer)
        os.close(answer)

    def _run(self, work: Callable[[Callable[[], bool]], Any], answer: int) -> NoReturn:
        status = 1
        try:
            ignore_ending()
            os.close(self._answer)
            try:
                packed = DONE + marshal.dumps(work(self._is_orphan))
            except errors.VmdedupError as error:
                packed = FAILED + marshal.dumps((type(error).__name__, str(error)))
            except MemoryError:
                packed = FAILED + marshal.dumps(("VmdedupError", NO_MEMORY))
            view = memoryview(packed)
            while view:
                view = view[os.write(answer, view) :]
            status = 0
        except BaseException:
            if not self._is_orphan():  # who wants the work would hear of it; else nobody does, least of all a terminal
                sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)

    def _is_orphan(self) -> bool:
        return os.getppid() != self._parent

    def result(self) -> Any:
        """Wait for what the work returned. VmdedupError: what it raised."""
        with os.fdopen(self._answer, "rb") as file:
            packed = file.read()
        self._answer = -1
        os.waitpid(self._pid, 0)
        self._pid = 0
        if packed[:1] == DONE:
            return marshal.loads(packed[1:])
        if packed[:1] == FAILED:
            name, text = marshal.loads(packed[1:])
            raise getattr(errors, name)(text)
        raise errors.WorkerDiedError("a process of this scan was killed; is there memory enough? scan again")

    def kill(self) -> None:
        """End it, if it has not been waited for."""
        if self._answer >= 0:
            os.close(self._answer)
            self._answer = -1
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0
