"""Runs on many machines, by dask.distributed. The only importer of distributed.

A run is a task, which a worker has made by a process of its own (sweep.children), as this machine does without Dask:
what comes back is a row. When a worker dies, Dask gives its task to another one, and after some deaths gives up on it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from vmdedup.closing import Closing
from vmdedup.errors import EnvironmentLacksError, VmdedupError
from vmdedup.host.workers import without_main
from vmdedup.ours.child import safe_interpreters
from vmdedup.sweep.children import DIED
from vmdedup.sweep.sameness import Needs, code, difference
from vmdedup.sweep.there import Asked, code_there, end_there, look_there, run_there

if TYPE_CHECKING:
    from distributed import Client

LOCAL: Final = "local"
PATIENCE: Final = 10.0  # seconds until a scheduler answers
WORKERS_PATIENCE: Final = 30.0  # seconds without any worker, or without the scheduler
AHEAD: Final = 2  # tasks for each thread of a worker, so that none waits for us


class Cluster(Closing):
    """A scheduler and its workers, connected; or some of our own on this machine, which end with it."""

    def __init__(self, address: str, workers: int = 1) -> None:
        """address: of a scheduler, or LOCAL, for so many workers here.

        EnvironmentLacksError: distributed is not installed. VmdedupError: no scheduler answers there in time.
        """
        _require()
        from distributed import Client

        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters of it is said here
        self.address, self._own = address, ExitStack()
        self._asked = Asked(os.urandom(8).hex(), code(), Needs((), ()), {})
        if address == LOCAL:
            self.address = self._own.enter_context(_own_cluster(workers))
        try:
            self.client: Client = Client(self.address, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            self._own.close()
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise VmdedupError(
                f"no Dask scheduler answers at {self.address} ({reason}); start one there: dask scheduler"
            ) from None
        self._tasks = self.client.get_executor(pure=False)
        self._seen = time.monotonic()

    @property
    def dashboard(self) -> str:
        """Where Dask shows what it does."""
        return str(self.client.dashboard_link)

    def check(self, wanted: Needs) -> None:
        """See that there are workers, and that they would all make the same runs. VmdedupError: not so."""
        try:
            self.client.wait_for_workers(1, timeout=WORKERS_PATIENCE)
        except TimeoutError:
            raise VmdedupError(f"{self.address} has no worker; start some: dask worker {self.address}") from None
        found = self._ask(code_there)
        if other := next((worker for worker, its in sorted(found.items()) if its != code()), None):
            raise EnvironmentLacksError(
                f"worker {other} has vmdedup {found[other]}, here is {code()}; install the same on all machines"
            )
        looks = self._ask(look_there, wanted)
        if said := difference(looks):
            raise EnvironmentLacksError(said)
        self._asked = Asked(self._asked.sweep, code(), wanted, next(iter(looks.values())))

    def _ask(self, what: Any, *arguments: Any) -> dict[str, Any]:
        """Have all workers do something. EnvironmentLacksError: one cannot, for want of a vmdedup that has it."""
        found = self.client.run(what, *arguments, on_error="return")
        if not found:
            raise self._lost()
        for worker, its in sorted(found.items()):
            if isinstance(its, Exception):
                said = " ".join(f"{type(its).__name__}: {its}".split())[:200]
                raise EnvironmentLacksError(f"worker {worker} has no vmdedup {code()} ({said}); install it there")
        return dict(found)

    @property
    def places(self) -> int:
        """Runs wanted at once: some more than workers have threads."""
        return AHEAD * max(1, sum(map(int, self.client.nthreads().values())))

    def submit(self, scenario: bytes) -> Future[dict[str, Any]]:
        """Have a run made of a pickled scenario."""
        made: Future[dict[str, Any]] = self._tasks.submit(run_there, scenario, self._asked)
        return made

    def answer(self, future: Future[dict[str, Any]]) -> dict[str, Any]:
        """What came of a run. VmdedupError: it was lost with the scheduler."""
        from distributed import KilledWorker

        try:
            return future.result()
        except KilledWorker as error:
            deaths = getattr(error, "allowed_failures", 3) + 1
            return {"ended": DIED, "reason": f"{deaths} workers died of it; is there memory enough on them?"}
        except CancelledError:
            raise self._lost() from None

    def look(self) -> None:
        """VmdedupError: the scheduler has gone, or has had no worker for long."""
        if self.client.status == "running" and self.client.nthreads():
            self._seen = time.monotonic()
        elif self.client.status == "closed" or time.monotonic() - self._seen > WORKERS_PATIENCE:
            raise self._lost()

    def _lost(self) -> VmdedupError:
        what = "has no worker any more" if self.client.status == "running" else "does not answer any more"
        return VmdedupError(f"the scheduler {self.address} {what}")

    def close(self) -> None:
        """Let go: what is still to be run, and what runs for us."""
        with suppress(Exception):  # there may be nobody left to tell
            self._tasks.shutdown(wait=False)
            if self.client.status == "running":
                self.client.run(end_there, self._asked.sweep, on_error="ignore")
        with suppress(Exception):
            self.client.close(timeout=PATIENCE)
        with suppress(Exception):
            self._own.close()


@contextmanager
def _own_cluster(workers: int) -> Iterator[str]:
    """Workers of one thread each on this machine, for us alone to reach. Yields the scheduler's address."""
    from distributed import LocalCluster

    # Also those that take the place of one that died do not run the caller's script.
    with without_main(), safe_interpreters():
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=0,  # of the worker, which is small: runs are in processes of their own
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )
        try:
            yield cluster.scheduler_address
        finally:
            cluster.close(timeout=PATIENCE)


def _require() -> None:
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise EnvironmentLacksError(
            "clusters need dask.distributed; install it: pip install 'vmdedup[cluster]'"
        ) from None
