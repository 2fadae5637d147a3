"""Runs on many machines, by dask.distributed.

A run is a task, which a worker has made by a process of its own (sweep.children), as this machine does without Dask:
what comes back is a row. When a worker dies, Dask gives its task to another one, and after some deaths gives up on it.
"""

from __future__ import annotations

import os
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, Final

from vmdedup.afar.code import code
from vmdedup.afar.scheduler import Scheduler
from vmdedup.closing import Closing
from vmdedup.errors import EnvironmentLacksError
from vmdedup.sweep.children import DIED
from vmdedup.sweep.sameness import Needs, difference
from vmdedup.sweep.there import Asked, end_there, look_there, run_there

AHEAD: Final = 2  # tasks for each thread of a worker, so that none waits for us
_KILLED: Final = "KilledWorker"  # Dask's error for a task that too many workers died of


class Cluster(Closing):
    """Whoever works for a scheduler, as a place for runs. Closing it ends the runs that go on for us."""

    def __init__(self, address: str, workers: int, wanted: Needs) -> None:
        """address: of a scheduler, or afar.scheduler.LOCAL, for so many workers here. wanted: what runs need.

        VmdedupError: no scheduler, no worker, or not all of them would make the same runs.
        """
        self._scheduler = Scheduler(address, workers)
        self._asked = Asked(os.urandom(8).hex(), code(), wanted, {})
        self._tasks = self._scheduler.tasks()
        try:
            self._check(wanted)
        except BaseException:
            self.close()
            raise

    @property
    def dashboard(self) -> str:
        """Where Dask shows what it does."""
        return self._scheduler.dashboard

    def _check(self, wanted: Needs) -> None:
        self._scheduler.check_code()
        looks = self._scheduler.ask(look_there, wanted)
        if said := difference(looks):
            raise EnvironmentLacksError(said)
        self._asked = Asked(self._asked.sweep, code(), wanted, next(iter(looks.values())))

    @property
    def places(self) -> int:
        """Runs wanted at once: some more than workers have threads."""
        return AHEAD * max(1, sum(self._scheduler.threads().values()))

    def submit(self, scenario: bytes) -> Future[dict[str, Any]]:
        """Have a run made of a pickled scenario."""
        return self._tasks.submit(run_there, scenario, self._asked)

    def answer(self, future: Future[dict[str, Any]]) -> dict[str, Any]:
        """What came of a run. VmdedupError: it was lost with the scheduler."""
        try:
            return future.result()
        except CancelledError:
            raise self._scheduler.lost() from None
        except Exception as error:
            if type(error).__name__ != _KILLED:
                raise
            deaths = getattr(error, "allowed_failures", 3) + 1
            return {"ended": DIED, "reason": f"{deaths} workers died of it; is there memory enough on them?"}

    def look(self) -> None:
        """VmdedupError: the scheduler has gone, or has had no worker for long."""
        self._scheduler.look()

    def close(self) -> None:
        """Let go: what is still to be run, and what runs for us."""
        with suppress(Exception):  # there may be nobody left to tell
            self._tasks.shutdown(wait=False)
            if self._scheduler.client.status == "running":
                self._scheduler.client.run(end_there, self._asked.sweep, on_error="ignore")
        self._scheduler.close()
