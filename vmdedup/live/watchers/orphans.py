"""Takes away what a run by Ansible has left: its processes, its guests, its folder.

    owner ──stdin: held open, "done" when nothing is left──► watch
    owner ◄──stdout: "ready"── watch                          the owner's death: take everything away, exit

The watch is a process of its own session, so that it outlives an owner that is killed. Ansible's workers have sessions
of their own too; they are known by a word in their environment.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from vmdedup.errors import VmdedupError
from vmdedup.ours.watcher import Watcher
from vmdedup.shown import shown

_DONE = b"done"


class Watch:
    """The owner's end: a context manager. Left in whatever way but the owner's death, nothing is taken away."""

    def __init__(self, word: str, folder: Path, domains: Sequence[str]) -> None:
        """word: NAME=VALUE in the environment of what the run starts. VmdedupError: the watch does not start."""
        self._watcher = Watcher(__file__, word, str(folder), *domains, bare=False)
        if self._watcher.hear(5) != b"ready":
            raise VmdedupError("the process that watches over the guests did not start; nothing was done")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watcher.tell(_DONE)
        self._watcher.end()


def take_away(domains: Sequence[str]) -> None:
    """Remove domains of ours by name, as far as they are there; if libvirt is not, end their processes.

    VmdedupError: libvirt was not there, so definitions may stay.
    """
    from vmdedup.live.guests.connection import Connection
    from vmdedup.live.guests.guest import qemu_pid
    from vmdedup.live.guests.removal import list_ours, remove

    try:
        with Connection() as connection:
            remove(connection, [ours.name for ours in list_ours(connection) if ours.name in domains])
    except VmdedupError:
        for name in domains:
            with suppress(VmdedupError, ProcessLookupError):
                os.kill(qemu_pid(name), signal.SIGKILL)
        raise


def end_marked(word: str) -> None:
    """Kill every process with that word in its environment, until there is none."""
    while pids := marked_processes(word):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def marked_processes(word: str) -> list[int]:
    """Living processes with that word in their environment, this one left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):  # it has ended, or is somebody else's
                if word.encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def main() -> int:
    """Watch; the arguments are the owner's pidfd, the word, the folder and the domains."""
    owner, word, folder, *domains = sys.argv[1:]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    os.write(1, b"ready")
    if _is_done(int(owner)):
        return 0
    end_marked(word)
    try:
        take_away(domains)
    except VmdedupError as error:
        sys.stderr.write(f"vmdedup: {shown(error)}; guests may be left: vmdedup live remove {' '.join(domains)}\n")
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _is_done(owner: int) -> bool:
    """Wait for the owner's word, or its end. Returns whether it was the word."""
    poll = select.poll()
    for descriptor in (0, owner):
        poll.register(descriptor, select.POLLIN)
    poll.poll()
    return os.read(0, len(_DONE)) == _DONE


if __name__ == "__main__":
    sys.exit(main())
