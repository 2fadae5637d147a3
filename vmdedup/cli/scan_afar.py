"""vmdedup scan --scheduler: each machine reads its own dumps, and sends fingerprints only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, wait
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmdedup.cli.say import Progress, say

if TYPE_CHECKING:
    from vmdedup.afar.scheduler import Scheduler

_LOOK = 1.0  # seconds between two looks at who works


@contextmanager
def fetched(dumps: Sequence[str], address: str, salt: str | None, quiet: bool) -> Iterator[list[str]]:
    """Files of fingerprints, one a machine, for as long as they are needed.

    dumps: HOST:DUMP, or DUMP for all machines that a scheduler has workers on. VmdedupError: there are none, or a dump
    cannot be read.
    """
    from vmdedup.afar.scheduler import Scheduler
    from vmdedup.ours import folder
    from vmdedup.scan.fingerprint import random_salt

    with Scheduler(address) as scheduler, folder.scratch() as place, Progress(quiet) as progress:
        scheduler.check_code()
        if not quiet:
            say(f"Dask's dashboard: {scheduler.dashboard}", err=True)
        machines = _machines(scheduler)
        wanted = _shared_out(dumps, machines)
        files: list[tuple[str, str]] = []
        for host, content in _contents(scheduler, wanted, machines, salt or random_salt(), progress):
            file = place / f"{len(files)}.parquet"
            file.write_bytes(content)
            files.append((host, str(file)))
        progress.clear()
        yield [file for _, file in sorted(files)]


def _machines(scheduler: Scheduler) -> dict[str, list[str]]:
    """Workers by machine, called by its name where only one is called so, else by its address."""
    from vmdedup.scan.afar import host_name

    named = scheduler.ask(host_name)
    by_address: dict[str, list[str]] = {}
    for worker in sorted(named):
        by_address.setdefault(worker.partition("://")[2].rpartition(":")[0], []).append(worker)
    names = [str(named[workers[0]]) for workers in by_address.values()]
    return {
        name if names.count(name) == 1 else address: workers
        for name, (address, workers) in zip(names, by_address.items(), strict=True)
    }


def _shared_out(dumps: Sequence[str], machines: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Which dumps each machine reads. UsageError: no machine is called so."""
    from vmdedup.errors import UsageError
    from vmdedup.shown import quoted

    wanted: dict[str, list[str]] = {}
    for dump in dumps:
        host, colon, rest = dump.partition(":")
        if colon and rest and host in machines:
            wanted.setdefault(host, []).append(rest)
        elif dump.startswith("/"):
            for each in machines:
                wanted.setdefault(each, []).append(dump)
        else:
            known = ", ".join(machines)
            raise UsageError(
                f"{quoted(dump)}: write HOST:DUMP, the host one of {known}; or /PATH, which all of them have"
            )
    return wanted


def _contents(
    scheduler: Scheduler,
    wanted: Mapping[str, Sequence[str]],
    machines: Mapping[str, list[str]],
    salt: str,
    progress: Progress,
) -> Iterator[tuple[str, bytes]]:
    """What each machine sends, as it comes."""
    from vmdedup.errors import WorkerDiedError
    from vmdedup.scan.afar import fingerprints

    tasks = {}
    for host, dumps in wanted.items():
        tasks[scheduler.tasks(machines[host]).submit(fingerprints, tuple(dumps), host, salt)] = host
    while tasks:
        progress.show(f"waiting for {', '.join(sorted(tasks.values()))}")
        finished, _ = wait(tasks, _LOOK, FIRST_COMPLETED)
        for task in finished:
            yield tasks.pop(task), _answer(scheduler, task)
        scheduler.look()
        there = scheduler.threads()
        if gone := [host for host in tasks.values() if not any(worker in there for worker in machines[host])]:
            raise WorkerDiedError(f"the worker on {gone[0]} has ended; start it again, and scan again")


def _answer(scheduler: Scheduler, task: Any) -> bytes:
    from vmdedup.errors import VmdedupError, WorkerDiedError

    try:
        content: bytes = task.result()
    except CancelledError:
        raise scheduler.lost() from None
    except VmdedupError:
        raise
    except Exception as error:
        raise WorkerDiedError(f"a worker could not scan: {type(error).__name__}: {error}") from None
    return content


def refuse(hashes_only: Path | None, subpage: bool) -> None:
    """UsageError: what needs contents, which stay where they are."""
    from vmdedup.errors import UsageError

    if subpage:
        raise UsageError("--subpage needs contents, and --scheduler has fingerprints only; leave one of them out")
    if hashes_only is not None:
        raise UsageError("--hashes-only is for the machine where the dumps lie; leave it or --scheduler out")
