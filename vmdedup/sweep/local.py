"""Runs on this machine: so many processes beside each other."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from vmdedup.closing import Closing
from vmdedup.sweep.children import CHILDREN, perform


class Local(Closing):
    """As many runs at once as jobs says. Closing it ends those that go on."""

    def __init__(self, jobs: int) -> None:
        self.places = jobs
        CHILDREN.begin()
        self._pool = ThreadPoolExecutor(jobs)

    def submit(self, scenario: bytes) -> Future[dict[str, Any]]:
        """Have a run made of a pickled scenario."""
        return self._pool.submit(perform, scenario)

    def answer(self, future: Future[dict[str, Any]]) -> dict[str, Any]:
        """What came of a run."""
        return future.result()

    def look(self) -> None:
        """Whether runs can still be made: here, always."""

    def close(self) -> None:
        """End all runs."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        CHILDREN.close()
        self._pool.shutdown()
