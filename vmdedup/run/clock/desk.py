"""Where other threads ask things of a run, and tell it things: its clock answers between two ticks.

    a file is read, a page of metrics is fetched ──ask()──► Desk ◄──serve()── Paced, while it waits for the next tick

So whoever asks sees a host that stands still, and nothing in the run need be safe for threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from vmdedup.errors import VmdedupError
from vmdedup.run.emulation import Emulation

A = TypeVar("A")
_Asked = tuple[Callable[[Emulation], Any], "Future[Any]"]


class Desk:
    """Questions, in the order in which they came."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[_Asked] = SimpleQueue()
        self._turn = threading.Lock()
        self._is_closed = False

    def ask(self, question: Callable[[Emulation], A]) -> A:
        """What the run answers, at most a tick later.

        Raises VmdedupError or OSError, as the question does; VmdedupError, too, once the run is over.
        """
        future: Future[A] = Future()
        with self._turn:
            if self._is_closed:
                raise VmdedupError("the emulated host has ended")
            self._asked.put((question, future))
        return future.result()

    def serve(self, emulation: Emulation, until: float) -> None:
        """Answer what is asked until then, as time.monotonic() has it, and all that was asked before in any case."""
        while True:
            try:
                question, future = self._asked.get(timeout=max(0.0, until - time.monotonic()))
            except Empty:
                return
            try:
                future.set_result(question(emulation))
            except (VmdedupError, OSError) as error:
                future.set_exception(error)
            except BaseException as error:
                future.set_exception(error)
                raise

    def close(self) -> None:
        """No more answers: who asked already, and who asks from now on, is told so."""
        with self._turn:
            self._is_closed = True
        while not self._asked.empty():
            self._asked.get()[1].set_exception(VmdedupError("the emulated host has ended"))
