"""Seeds of experiments beside each other, each in a process of its own, so that all processors have work."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from vmdedup.errors import WorkerDiedError
from vmdedup.ours import child
from vmdedup.papers.bench.base import Bench, Experiment, Say


class Beside:
    """So many processes at once. A context manager: whatever ends it ends them, in order.

    turn: the module that prints what Experiment.turn() gives, told a name and a seed, and to be quick; it ends in order
    when its standard input does.
    """

    def __init__(self, jobs: int, turn: str, quick: bool, say: Say) -> None:
        self._module, self._quick, self._say = turn, quick, say
        self._pool = ThreadPoolExecutor(jobs)
        self._running: dict[str, child.Process[str]] = {}
        self._lock = threading.Lock()
        self._ending = False

    def documents(self, experiments: Sequence[Experiment], seeds: int) -> Iterator[dict[str, Any]]:
        """What --json prints of each experiment, in their order. VmdedupError: one could not be run."""
        first = Bench().seed
        turns: list[list[Future[dict[str, Any]]]] = [
            [self._pool.submit(self._turn, each.name, seed) for seed in range(first, first + seeds)]
            for each in experiments
        ]
        for experiment, its in zip(experiments, turns, strict=True):
            yield experiment.document([turn.result() for turn in its])

    def _turn(self, name: str, seed: int) -> dict[str, Any]:
        """Run it and wait for what it prints."""
        label = f"{name}, seed {seed}"
        with self._begun(name, seed, label) as process:
            status, text, errors = _heard(process)
        with self._lock:
            del self._running[label]
            self._tell()
        if status:
            reason = errors.strip().rpartition("\n")[2] or f"exit status {status}"
            again = f"vmdedup experiment run {name} --jobs 1"
            raise WorkerDiedError(f"{label}: {reason}; run it alone to see more: {again}")
        found: dict[str, Any] = json.loads(text)
        return found

    def _begun(self, name: str, seed: int, label: str) -> child.Process[str]:
        with self._lock:
            if self._ending:
                raise WorkerDiedError(f"{label} was not begun")
            command = child.python_module(self._module, name, str(seed), *(["quick"] if self._quick else []))
            pipes: dict[str, Any] = {"stdin": child.PIPE, "stdout": child.PIPE, "stderr": child.PIPE}
            process = self._running[label] = child.start(command, text=True, **pipes)
            self._tell()
            return process

    def _tell(self) -> None:
        if self._running:
            self._say("; ".join(sorted(self._running)))

    def __enter__(self) -> Beside:
        return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._ending = True
            for process in self._running.values():
                with suppress(OSError):
                    process.stdin.close()  # type: ignore[union-attr]
        self._pool.shutdown(cancel_futures=True)


def _heard(process: child.Process[str]) -> tuple[int, str, str]:
    """Exit status, stdout and stderr. Not by communicate(), which would close stdin, by which it knows that we live."""
    assert process.stdout is not None
    assert process.stderr is not None
    with ThreadPoolExecutor(1) as beside:
        errors = beside.submit(process.stderr.read)
        text = process.stdout.read()
        return process.wait(), text, errors.result()
