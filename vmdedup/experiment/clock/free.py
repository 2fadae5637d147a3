"""A ksmd that runs freely: batch, sleep, batch, as its tunables say, in real time, driven by a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from vmdedup.experiment.scanner import Scanner

_STOPPED_S = 0.05  # how often a ksmd with run=0 looks whether that has changed


class FreeKsmd:
    """Scans from entering until leaving this context; `standing()` keeps it between two batches meanwhile."""

    def __init__(self, ksmd: Scanner) -> None:
        self._ksmd = ksmd
        self._turn = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vmdedup-ksmd", daemon=True)
        self._began = time.monotonic()

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Nobody scans inside; the ksmd may be asked, and told, things."""
        with self._turn:
            yield

    def __enter__(self) -> FreeKsmd:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.is_set():
            with self._turn:
                pause = self._batch()
            # An event instead of a sleep, so that the end need not wait for a long sleep_millisecs.
            self._end.wait(pause)

    def _batch(self) -> float:
        """One batch. Returns the seconds to sleep after it."""
        if self._ksmd.get("run") != 1:
            return _STOPPED_S
        self._ksmd.charge(int(1000 * (time.monotonic() - self._began)), int(1000 * self._ksmd.cpu_seconds()))
        self._ksmd.scan(self._ksmd.get("pages_to_scan"))
        return self._ksmd.get("sleep_millisecs") / 1000
