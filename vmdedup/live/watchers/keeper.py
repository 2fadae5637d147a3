"""Ends guests, removes folders and puts files back when the process that made or changed them is gone.

    owner ──stdin: a line of JSON each──► keeper      ["end", PID] · ["remove", FOLDER] · ["write", FILE, TEXT]
    owner ◄──stdout: "k" for each── keeper            ["spare", PID]: that one has ended by itself
                                                      ["record", FILE]: on disk it says the same; it goes when all
                                                      is done
                                                      end of stdin, or the owner's death: do all that, exit

It runs as a script of its own in a session of its own, so that neither a signal to the owner's process group nor
SIGKILL to the owner reaches it. A process is held by its pidfd, so no other one can be meant later. Standard library
only: it is started with `python -I -S`.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import sys
import time
from contextlib import suppress

PATIENCE = 10.0  # seconds for killed processes to go away


class Charge:
    """What is to be done in the end."""

    def __init__(self) -> None:
        self.guests: dict[int, int] = {}  # pid → pidfd
        self.folders: list[str] = []
        self.files: dict[str, str] = {}
        self.record = ""

    def take(self, order: list[str | int]) -> None:
        """Remember one order. A process that has ended already needs nothing."""
        what, *words = order
        if what == "end":
            self._watch(int(words[0]))
        elif what == "spare":
            self._forget(int(words[0]))
        elif what == "remove":
            self.folders.append(str(words[0]))
        elif what == "record":
            self.record = str(words[0])
        else:
            self.files.setdefault(str(words[0]), str(words[1]))

    def _watch(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            self.guests[pid] = os.pidfd_open(pid)

    def _forget(self, pid: int) -> None:
        if (descriptor := self.guests.pop(pid, -1)) >= 0:
            os.close(descriptor)

    def settle(self) -> list[str]:
        """Do all that was ordered. Returns what could not be done, a line each."""
        failures = self._end_guests()
        for path, text in self.files.items():
            try:
                with open(path, "w") as file:
                    file.write(text)
            except OSError as error:
                failures.append(f"{path}: {error.strerror}; write {text} to it")
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)
            if os.path.exists(folder):
                failures.append(f"{folder} could not be removed; remove it by hand")
        if self.record and not failures:
            with suppress(FileNotFoundError):
                os.unlink(self.record)
        return failures

    def _end_guests(self) -> list[str]:
        for descriptor in self.guests.values():
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE
        return [
            f"process {pid} does not end; kill it by hand"
            for pid, descriptor in self.guests.items()
            if not has_ended(descriptor, max(0.0, deadline - time.monotonic()))
        ]


def has_ended(pidfd: int, patience: float) -> bool:
    """Wait so many seconds at most for a process's end; whether it came."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(int(patience * 1000)))


def _serve(charge: Charge, owner: int) -> None:
    """Take orders until standard input ends or the process behind the pidfd `owner` is dead."""
    poll = select.poll()
    for descriptor in (0, owner):
        poll.register(descriptor, select.POLLIN)
    pending = b""
    while owner not in {descriptor for descriptor, _ in poll.poll()}:
        data = os.read(0, 65536)
        if not data:
            return
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            charge.take(json.loads(line))
            os.write(1, b"k")


def main() -> int:
    """Keep what standard input says; the argument is the owner's pidfd. 1: something could not be done."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    charge = Charge()
    _serve(charge, int(sys.argv[1]))
    failures = charge.settle()
    for failure in failures:
        sys.stderr.write(f"vmdedup: {failure}\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
