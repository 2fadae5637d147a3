"""A scanner that is started again when its process is killed: the call that found it dead is made again.

One that broke down by an error of its own is not, as it would again; nor is one that is killed again and again before
the call comes back. Both end the run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, TypeVar

from vmdedup.errors import BrokeDownError, WorkerDiedError
from vmdedup.ksm.prices import Tally

if TYPE_CHECKING:
    from vmdedup.policy.base import Policy
    from vmdedup.scanner.protocol import Mortal

A = TypeVar("A")
_TRIES = 20  # a scanner that is killed as often as that in one call is not to live
_log = logging.getLogger(__name__)


class GuardedScanner:
    """Fills scanner.protocol.Scanner. Each method raises WorkerDiedError once it is given up, or broke down.

    standing: gives a context in which every guest stands between two operations; note: told of each death.
    Both are set by the emulation that the scanner works for.
    """

    def __init__(self, scanner: Mortal) -> None:
        self._scanner = scanner
        self.standing: Callable[[], AbstractContextManager[None]] = nullcontext
        self.note: Callable[[str], None] = _log.info
        self._end: WorkerDiedError | None = None  # why it is not started again

    @property
    def kind(self) -> type[Policy]:
        """Its class."""
        return self._scanner.kind

    @property
    def prices(self) -> Mapping[str, float]:
        """What its operations are billed at."""
        return self._scanner.prices

    @prices.setter
    def prices(self, prices: Mapping[str, float]) -> None:
        self._scanner.prices = prices

    @property
    def bill_ns(self) -> int:
        """CPU time that it has used by its prices, up to the end of the last batch."""
        return self._scanner.bill_ns

    def enter(self, mm: int) -> None:
        """An address space has mergeable memory from now on."""
        self._call(lambda: self._scanner.enter(mm))

    def exit(self, mm: int) -> None:
        """An address space has ended."""
        self._call(lambda: self._scanner.exit(mm))

    def relocate(self, mm: int, node: int) -> int:
        """Take an address space to a NUMA node. Returns how many frames stay where they are."""
        return self._call(lambda: self._scanner.relocate(mm, node))

    def scan(self, pages: int) -> int:
        """One batch; returns the pages scanned."""
        return self._call(lambda: self._scanner.scan(pages))

    def charge(self, now_ms: int, cpu_ms: int) -> None:
        """Its clock, and the CPU time that it has had."""
        self._call(lambda: self._scanner.charge(now_ms, cpu_ms))

    def get(self, knob: str) -> int:
        """A tunable's value; use_zero_pages of a policy without it is 1: zeros need not cost it a frame."""
        if knob == "use_zero_pages" and knob not in self.kind.all_tunables():
            return 1
        return self._call(lambda: self._scanner.get(knob))

    def set(self, knob: str, text: str) -> None:
        """Write a tunable. Raises KnobError."""
        self._call(lambda: self._scanner.set(knob, text))

    def counters(self) -> dict[str, int]:
        """The counters of /sys/kernel/mm/ksm by name."""
        return self._call(self._scanner.counters)

    def ksm_stat(self, mm: int) -> dict[str, int]:
        """The figures of /proc/PID/ksm_stat."""
        return self._call(lambda: self._scanner.ksm_stat(mm))

    def tally(self) -> Tally | None:
        """After the last batch: the counters that tell how long it took."""
        return self._scanner.tally()

    def work_done(self) -> dict[str, int]:
        """How often each operation was done, up to the end of the last batch."""
        return self._scanner.work_done()

    def cpu_seconds(self) -> float:
        """CPU time that its processes have really had."""
        return self._call(self._scanner.cpu_seconds)

    def check(self) -> None:
        """Verify its records and the host; raises InvariantError. While every guest stands."""
        self._call(self._scanner.check)

    @property
    def pid(self) -> int:
        """Its process id now."""
        return self._scanner.pid

    def close(self) -> None:
        """End it."""
        self._scanner.close()

    def _call(self, call: Callable[[], A]) -> A:
        if self._end is not None:
            raise self._end
        try:
            return self._call_again(call)
        except WorkerDiedError as death:
            self._end = death
            raise

    def _call_again(self, call: Callable[[], A]) -> A:
        for _ in range(_TRIES):
            try:
                return call()
            except BrokeDownError:
                raise
            except WorkerDiedError as death:
                self.note(f"{death}; it is started again")
                _log.warning("%s; it is started again", death)
                self._revive()
        try:
            return call()
        except WorkerDiedError as death:
            raise WorkerDiedError(f"{death}, {_TRIES + 1} times in a row before it had done anything") from None

    def _revive(self) -> None:
        """Start it again; it may be killed while it takes over."""
        with self.standing():
            for _ in range(_TRIES):
                try:
                    self._scanner.revive()
                except BrokeDownError:
                    raise
                except WorkerDiedError:
                    continue
                return
            self._scanner.revive()
