"""A scanner that runs freely: batch, rest, batch, in real time, driven by a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from vmdedup.errors import VmdedupError
from vmdedup.scanner.budget import CpuBudget
from vmdedup.scanner.protocol import Scanner
from vmdedup.units import SECOND_NS

_STOPPED_S = 0.05  # how often a scanner with run=0 looks whether that has changed
_LOOK_S = 0.25  # how often a controller is told the time while ksmd sleeps


class FreeScanner:
    """Scans from entering until leaving this context; `standing()` keeps it between two batches meanwhile.

    share: of one core, by its own bill; None: batches and rests are as its tunables say. One that keeps to no budget
    rests at least as long as it has worked. An error of the scanner's ends its scanning; standing() raises it, and so
    does leaving, unless another is on its way.
    """

    def __init__(self, scanner: Scanner, share: float | None = None) -> None:
        self._scanner = scanner
        self._budget = CpuBudget(share) if share is not None else None
        self._turn = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vmdedup-scanner", daemon=True)
        self._began = time.monotonic()
        self._error: VmdedupError | None = None

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Nobody scans inside; the scanner may be asked, and told, things."""
        with self._turn:
            if self._error is not None:
                raise self._error
            yield

    def __enter__(self) -> FreeScanner:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                with self._turn:
                    pause = self._batch()
                self._rest(pause)
            except VmdedupError as error:
                self._error = error
                return

    def _rest(self, seconds: float) -> None:
        """Sleep, on an event, so that the end need not wait for a long sleep_millisecs.

        A controller goes on looking; another sleep_millisecs, or run, ends the sleep, as in Linux.
        """
        if not self._scanner.kind.is_steered:
            self._end.wait(seconds)
            return
        until, before = time.monotonic() + seconds, self._setting()
        while (left := until - time.monotonic()) > 0 and not self._end.wait(min(left, _LOOK_S)):
            with self._turn:
                self._tell(self._scanner.bill_ns / SECOND_NS)
                if self._setting() != before:
                    return

    def _setting(self) -> tuple[int, int]:
        return self._scanner.get("run"), self._scanner.get("sleep_millisecs")

    def _tell(self, cpu: float) -> None:
        """Tell it the time, and the CPU seconds that it has had."""
        self._scanner.charge(int(1000 * (time.monotonic() - self._began)), int(1000 * cpu))

    def _batch(self) -> float:
        """One batch. Returns the seconds to sleep after it."""
        began = time.monotonic()
        if self._scanner.kind.is_steered:
            self._tell(self._scanner.bill_ns / SECOND_NS)
        if self._scanner.get("run") != 1:
            return _STOPPED_S
        if self._budget is not None:
            return self._batch_of(self._budget, began)
        self._tell(self._scanner.cpu_seconds())
        self._scanner.scan(self._scanner.get("pages_to_scan"))
        pause = self._scanner.get("sleep_millisecs") / 1000
        return pause if self._scanner.kind.keeps_budget else max(pause, time.monotonic() - began)

    def _batch_of(self, budget: CpuBudget, began: float) -> float:
        """One batch by a budget of CPU."""
        before = self._scanner.bill_ns
        self._tell(before / SECOND_NS)
        looked = self._scanner.scan(budget.pages())
        interval = budget.interval(looked, self._scanner.bill_ns - before) / SECOND_NS
        return max(0.0, interval - (time.monotonic() - began))
