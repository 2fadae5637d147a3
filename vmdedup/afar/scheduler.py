"""A Dask scheduler and its workers, or some of our own on this machine. The only importer of distributed."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from vmdedup.afar.code import code
from vmdedup.closing import Closing
from vmdedup.errors import EnvironmentLacksError, VmdedupError
from vmdedup.host.workers import without_main
from vmdedup.ours.child import safe_interpreters

if TYPE_CHECKING:
    from distributed import Client

LOCAL: Final = "local"
PATIENCE: Final = 10.0  # seconds until a scheduler answers
WORKERS_PATIENCE: Final = 30.0  # seconds without any worker, or without the scheduler


class Scheduler(Closing):
    """Connected to it; workers of our own end with this."""

    def __init__(self, address: str, workers: int = 1) -> None:
        """address: of a scheduler, or LOCAL, for so many workers here.

        EnvironmentLacksError: distributed is not installed. VmdedupError: no scheduler answers there in time.
        """
        _require()
        from distributed import Client

        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters of it is said here
        self.address, self._own = address, ExitStack()
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
        self._seen = time.monotonic()

    @property
    def dashboard(self) -> str:
        """Where Dask shows what it does."""
        return str(self.client.dashboard_link)

    def check_code(self) -> None:
        """See that there are workers, and that they have the vmdedup that we are. VmdedupError: not so."""
        try:
            self.client.wait_for_workers(1, timeout=WORKERS_PATIENCE)
        except TimeoutError:
            raise VmdedupError(f"{self.address} has no worker; start some: dask worker {self.address}") from None
        found = self.ask(code)
        if other := next((worker for worker, its in sorted(found.items()) if its != code()), None):
            raise EnvironmentLacksError(
                f"worker {other} has vmdedup {found[other]}, here is {code()}; install the same on all machines"
            )

    def ask(self, what: Any, *arguments: Any) -> dict[str, Any]:
        """Have all workers do something. Returns what, by a worker's address.

        EnvironmentLacksError: one cannot, for want of a vmdedup that has it. VmdedupError: there is no worker.
        """
        found = self.client.run(what, *arguments, on_error="return")
        if not found:
            raise self.lost()
        for worker, its in sorted(found.items()):
            if isinstance(its, Exception):
                said = " ".join(f"{type(its).__name__}: {its}".split())[:200]
                raise EnvironmentLacksError(f"worker {worker} has no vmdedup {code()} ({said}); install it there")
        return dict(found)

    def tasks(self, workers: Sequence[str] | None = None) -> Executor:
        """What hands out work, to be done by any worker, or by one of these alone."""
        own = {} if workers is None else {"workers": list(workers), "allow_other_workers": False}
        made: Executor = self.client.get_executor(pure=False, **own)
        return made

    def threads(self) -> dict[str, int]:
        """How many threads each worker has that is there, by its address."""
        return {str(worker): int(threads) for worker, threads in self.client.nthreads().items()}

    def look(self) -> None:
        """To be called now and then. VmdedupError: the scheduler has gone, or has had no worker for long."""
        if self.client.status == "running" and self.threads():
            self._seen = time.monotonic()
        elif self.client.status == "closed" or time.monotonic() - self._seen > WORKERS_PATIENCE:
            raise self.lost()

    def lost(self) -> VmdedupError:
        """What to say where there is nobody left to work."""
        what = "has no worker any more" if self.client.status == "running" else "does not answer any more"
        return VmdedupError(f"the scheduler {self.address} {what}")

    def close(self) -> None:
        """Let go of it."""
        with suppress(Exception):  # there may be nobody left to tell
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
