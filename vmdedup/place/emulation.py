"""The hosts of plans emulated, by processes of this machine or by Dask's workers: what they deliver."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from vmdedup.closing import Closing
from vmdedup.guest.seeds import mix
from vmdedup.place.fleet import Fleet, Guest
from vmdedup.place.migration import moves
from vmdedup.place.plan import Plan
from vmdedup.place.there import FAILED, HostTask, Tenant, emulate
from vmdedup.sweep.children import CHILDREN
from vmdedup.sweep.there import end_there
from vmdedup.units import PAGE_SIZE, SECOND_NS

if TYPE_CHECKING:
    from vmdedup.afar.scheduler import Scheduler

AHEAD: Final = 2  # hosts handed out for each that is emulated, so that their contents need not all be held
_LOOK: Final = 1.0  # seconds between two looks at who works
Say = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """How hosts are to be emulated. nanoseconds: after the last guest came. scale: at 1/scale of their size.

    pages_to_scan: of ksmd on a host of full size, every 20 ms. scheduler: Dask's, or None; jobs: else, hosts at once.
    """

    nanoseconds: int
    scale: int = 1
    pages_to_scan: int = 4000
    scheduler: str | None = None
    jobs: int | None = None


def tasks(
    guests: Sequence[Guest], fleet: Fleet, plan: Plan, before: Sequence[object], bytes_a_second: int, wanted: Wanted
) -> list[Callable[[], HostTask]]:
    """What makes the task of each host of a plan. before: where guests are; see migration.moves."""
    comes_at, now = [0] * len(guests), 0
    for guest in moves(fleet, before, plan, bytes_a_second).guests:
        now += int(fleet.pages[guest]) * PAGE_SIZE * SECOND_NS // bytes_a_second
        comes_at[guest] = now
    sweep = os.urandom(8).hex()

    def task(host: Sequence[int]) -> HostTask:
        tenants = tuple(_tenant(guests[guest], comes_at[guest], wanted.scale) for guest in host)
        return HostTask(tenants, wanted.nanoseconds, max(1, wanted.pages_to_scan // wanted.scale), sweep)

    return [lambda host=host: task(host) for host in plan.hosts]  # type: ignore[misc]


def _tenant(guest: Guest, comes_at: int, scale: int) -> Tenant:
    """A guest at a scale: of its contents those that all guests keep, and of its other pages as large a share."""
    more = max(1, scale // guest.times)  # a sampled read has thrown away the others
    kept = guest.contents[mix(mix(guest.contents)) % more == 0] if more > 1 else guest.contents
    again = max(0, guest.pages // scale - len(kept)) if len(kept) else 0
    return Tenant(kept, again, comes_at)


class Emulation(Closing):
    """Whoever emulates hosts. Closing it ends those that go on."""

    def __init__(self, wanted: Wanted) -> None:
        """VmdedupError: no scheduler answers, or its workers are of another version."""
        self._scheduler: Scheduler | None = None
        self._sweep = ""
        if wanted.scheduler is None:
            self._jobs = wanted.jobs or len(os.sched_getaffinity(0))
            CHILDREN.begin()
            self._pool: Executor = ThreadPoolExecutor(self._jobs)
            return
        from vmdedup.afar.scheduler import Scheduler

        self._scheduler = Scheduler(wanted.scheduler)
        try:
            self._scheduler.check_code()
        except BaseException:
            self._scheduler.close()
            raise
        self._jobs = sum(self._scheduler.threads().values())
        self._pool = self._scheduler.tasks()

    def run(self, makers: Sequence[Callable[[], HostTask]], say: Say) -> list[dict[str, Any]]:
        """What each host delivered: ended, reason, figures. VmdedupError: no more can be emulated."""
        found: dict[int, dict[str, Any]] = {}
        going: dict[Future[dict[str, Any]], int] = {}
        left = iter(enumerate(makers))
        while len(found) < len(makers):
            while len(going) < AHEAD * self._jobs and (following := next(left, None)) is not None:
                task = following[1]()
                self._sweep = task.sweep
                going[self._pool.submit(emulate, task)] = following[0]
            done, _ = wait(going, _LOOK, FIRST_COMPLETED)
            for future in done:
                found[going.pop(future)] = self._answer(future)
            say(f"{len(found):,} of {len(makers):,} hosts emulated")
            if self._scheduler is not None:
                self._scheduler.look()
        return [found[number] for number in range(len(makers))]

    def _answer(self, future: Future[dict[str, Any]]) -> dict[str, Any]:
        try:
            return future.result()
        except CancelledError:
            raise self._scheduler.lost() if self._scheduler else CancelledError from None
        except Exception as error:
            if type(error).__name__ != "KilledWorker":  # Dask's, for what too many workers died of
                raise
            return {"ended": FAILED, "reason": "workers died of it; is there memory enough on them?"}

    def close(self) -> None:
        """End what goes on."""
        if self._scheduler is None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            CHILDREN.close()
            self._pool.shutdown()
            return
        with suppress(Exception):  # there may be nobody left to tell
            self._pool.shutdown(wait=False)
            self._scheduler.client.run(end_there, self._sweep, on_error="ignore")
        self._scheduler.close()
