"""What was there before this machine's tunables were changed: on disk until it is there again.

    record of a run:  boot · the guardian's orders that are about files (program.py), those done early with ["do", KIND]

A record lies in root's folder below /run, written before anything is changed. The guardian holds it, as its owner
does, and removes it when all is as before. One that nobody holds was left by a run that was killed together with its
guardian, as a container is that is stopped: whoever comes next settles it first.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vmdedup.errors import EnvironmentLacksError
from vmdedup.live.guardian import program
from vmdedup.live.guardian.order import restoring
from vmdedup.ours import folder
from vmdedup.ours.lock import Lock

SUFFIX = ".before"
RECORDED = ("set", "write", "remove")  # orders that are true of what is on disk, or in the kernel
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_log = logging.getLogger(__name__)


class Record:
    """A new record, held by this process. descriptor: for those who restore."""

    def __init__(self) -> None:
        """EnvironmentLacksError: no folder of ours to keep it in."""
        self._lock = _new()
        self.path, self.descriptor = self._lock.path, self._lock.descriptor
        self.add(boot())

    def add(self, entry: object) -> None:
        """Write an entry; it is on disk when this returns. EnvironmentLacksError: there is no room."""
        try:
            os.write(self.descriptor, json.dumps(entry).encode() + b"\n")
            os.fsync(self.descriptor)
        except OSError as error:
            raise EnvironmentLacksError(f"{self.path} cannot be written: {error.strerror}; make room there") from None

    def close(self) -> None:
        """Let go of it: it stays until who restores has removed it."""
        self._lock.close()


def _new() -> Lock:
    while True:
        lock = Lock(folder.runtime() / f"{folder.random_name('')}{SUFFIX}")
        if lock.take() and os.fstat(lock.descriptor).st_nlink:  # or somebody has taken it for a record that was left
            return lock
        lock.close()


def boot() -> str:
    """What names this boot of the machine."""
    return _BOOT_ID.read_text().strip()


def left() -> Iterator[Lock]:
    """Records that nobody holds, each held by us while it is looked at."""
    for path in sorted(folder.runtime().glob(f"*{SUFFIX}")):
        with Lock(path) as lock:
            if lock.take() and os.fstat(lock.descriptor).st_nlink:
                yield lock


def settle() -> list[str]:
    """Put back what sessions that were killed have left changed. Returns a line on each thing that was put back.

    The caller holds KSM's lock. EnvironmentLacksError: something could not be put back; says what, and the remedy.
    """
    told = []
    for lock in left():
        entries = _entries(lock.path)
        done, failures = _undo(entries[1:], is_of_this_boot=entries[:1] == [boot()])
        if failures:
            remedy = f"write it by hand, then remove {lock.path}"
            raise EnvironmentLacksError(
                f"what a killed run has left cannot be put back: {'; '.join(failures)}; {remedy}"
            )
        lock.path.unlink(missing_ok=True)
        told += done
    for line in told:
        _log.warning("a run that was killed had left something: %s", line)
    return told


def _entries(path: Path) -> list[Any]:
    """What a record says; a last line that is not whole was written before anything was changed by it."""
    found = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


def _as_now(entry: list[Any]) -> list[Any]:
    """An entry as it is written today. Older ones, ["ksm", FOLDER, TUNABLES], have the order of writes to come."""
    if entry[0] != "ksm":
        return entry
    _, about, saved = entry
    return ["set", about, *restoring(saved)]


def _undo(entries: list[Any], is_of_this_boot: bool) -> tuple[list[str], list[str]]:
    """Returns what was done and what failed, a line each. What is in the kernel of another boot has gone with it."""
    charge = program.Charge()
    for entry in map(_as_now, entries):
        what, about = entry[:2]
        if what == "do":
            for kind in program.KINDS[: program.KINDS.index(about) + 1]:
                charge.forget(kind)
        elif what not in RECORDED:
            return [], [f"{what!r} is no order that this vmdedup knows"]
        elif os.path.exists(about) and (is_of_this_boot or what == "remove"):
            charge.take(entry)
    done = [f"tunables in {path} are as before" for path in charge.orders["set"]]
    done += [f"{path} is {text} again" for path, (text,) in charge.orders["write"].items()]
    done += [f"{path} is removed" for path in charge.orders["remove"]]
    return done, charge.settle()
