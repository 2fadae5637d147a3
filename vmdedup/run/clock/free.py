"""A scanner that runs freely: batch, rest, batch, in real time, driven by a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from vmdedup.errors import VmdedupError
from vmdedup.run.clock.budget import CpuBudget
from vmdedup.run.clock.policy_share import Priced
from vmdedup.scanner.protocol import Scanner
from vmdedup.units import SECOND_NS

_STOPPED_S = 0.05  # how often a ksmd with run=0 looks whether that has changed
_LOOK_S = 0.25  # how often a controller is told the time while ksmd sleeps


class FreeKsmd:
    """Scans from entering until leaving this context; `standing()` keeps it between two batches meanwhile.

    Batches and rests are as its tunables say. An error of the scanner's ends its scanning; standing() raises it, and so
    does leaving, unless another is on its way.
    """

    def __init__(self, ksmd: Scanner) -> None:
        self._ksmd = ksmd
        self._turn = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vmdedup-ksmd", daemon=True)
        self._began = time.monotonic()
        self._error: VmdedupError | None = None

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Nobody scans inside; the ksmd may be asked, and told, things."""
        with self._turn:
            if self._error is not None:
                raise self._error
            yield

    def __enter__(self) -> FreeKsmd:
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
        """Sleep; on an event, so that the end need not wait for a long sleep_millisecs."""
        self._end.wait(seconds)

    def _batch(self) -> float:
        """One batch. Returns the seconds to sleep after it."""
        if self._ksmd.get("run") != 1:
            return _STOPPED_S
        self._ksmd.charge(int(1000 * (time.monotonic() - self._began)), int(1000 * self._ksmd.cpu_seconds()))
        self._ksmd.scan(self._ksmd.get("pages_to_scan"))
        return self._ksmd.get("sleep_millisecs") / 1000


class FreePolicy(FreeKsmd):
    """A policy that runs freely. share: of one core, by its own bill; without it, it rests as its tunables say.

    One that keeps to no budget rests at least as long as it has worked.
    """

    def __init__(self, policy: Priced, share: float | None) -> None:
        super().__init__(policy)
        self._policy = policy
        self._budget = CpuBudget(share) if share is not None else None

    def _rest(self, seconds: float) -> None:
        """Sleep. A controller goes on looking; another sleep_millisecs, or run, ends the sleep, as in Linux."""
        if not self._policy.is_steered:
            super()._rest(seconds)
            return
        until, before = time.monotonic() + seconds, self._setting()
        while (left := until - time.monotonic()) > 0 and not self._end.wait(min(left, _LOOK_S)):
            with self._turn:
                self._tell()
                if self._setting() != before:
                    return

    def _setting(self) -> tuple[int, int]:
        return self._policy.get("run"), self._policy.get("sleep_millisecs")

    def _tell(self) -> None:
        """Have its controller look, if it is time."""
        self._policy.charge(int(1000 * (time.monotonic() - self._began)), self._policy.bill_ns // 1_000_000)

    def _batch(self) -> float:
        began = time.monotonic()
        if self._policy.is_steered:
            self._tell()
        if self._budget is None:
            pause = super()._batch()
            return pause if self._policy.keeps_budget else max(pause, time.monotonic() - began)
        if self._policy.get("run") != 1:
            return _STOPPED_S
        before = self._policy.bill_ns
        self._policy.charge(int(1000 * (began - self._began)), before // 1_000_000)
        looked = self._policy.scan(self._budget.pages())
        interval = self._budget.interval(looked, self._policy.bill_ns - before) / SECOND_NS
        return max(0.0, interval - (time.monotonic() - began))
