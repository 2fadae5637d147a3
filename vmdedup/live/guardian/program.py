"""Puts right what its owner leaves, when that says so, ends, or is killed: one process for all of it.

    owner ──an order, a message of JSON each──► guardian    a socket; descriptors come with an order
    owner ◄──what could not be done, a list──── guardian    end of the socket, or the owner's death: all is done, exit

order                                   what is done, one kind after another in this order
["end marked", WORD]                    every process with that word, NAME=VALUE, in its environment is killed
["end", PID]                            that process is killed
["set", FOLDER, FIRST, THEN]            tunables are written, see set_back; what came with the order is closed then
["write", FILE, TEXT]                   the file gets that text
["run", REMEDY, COMMAND…]               a program of ours is run; if it fails, the remedy is what is said
["remove", FOLDER]                      the folder goes, with all that is in it

["record", FILE]                        on disk it says the same; it goes when all is done; it is held open until then
["spare", KIND, WHAT]                   that order is withdrawn
["do", KIND]                            all of that kind, and of the kinds before it, is done now

It runs as a script of its own in a session of its own, so that neither a signal to the owner's process group nor
SIGKILL to the owner reaches it. A process is held by its pidfd, so no other one can be meant later. Standard library
only: it is started with `python -I -S`.
"""

from __future__ import annotations

import errno
import json
import os
import select
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

KINDS = ("end marked", "end", "set", "write", "run", "remove")
LAST = KINDS[-1]
PATIENCE = 10.0  # seconds for killed processes to go away
UNMERGING = 20.0  # seconds for pages of dying processes to go away
RUNNING = 60.0  # seconds for a program of ours
_LARGEST, _MOST_DESCRIPTORS = 1 << 18, 4  # of a message

Writes = Sequence[Sequence[str]]  # tunables and their values, one after another
Rest = list[object]


class Charge:
    """What is to be done. orders: by kind, then by what they are about, in the order in which they came."""

    def __init__(self) -> None:
        self.orders: dict[str, dict[str, Rest]] = {kind: {} for kind in KINDS}
        self._held: dict[str, list[int]] = {kind: [] for kind in (*KINDS, "record")}  # descriptors, until it is done
        self._record = ""
        self._has_failed = False

    def take(self, order: Sequence[object], descriptors: Sequence[int] = ()) -> list[str]:
        """Take one message. Of several orders about the same thing the first counts. Returns what could not be done."""
        what, about, *rest = order
        kind, subject = str(what), str(about)
        if kind == "do":
            return self.settle(subject)
        if kind == "spare":
            self._spare(subject, str(rest[0]))
        elif kind == "record":
            self._record = subject
        elif subject not in self.orders[kind]:
            self._add(kind, subject, rest)
        if descriptors:
            self._held[kind].extend(descriptors)
        return []

    def _add(self, kind: str, subject: str, rest: Rest) -> None:
        """A process that has ended already needs nothing."""
        with suppress(ProcessLookupError):
            self.orders[kind][subject] = [os.pidfd_open(int(subject))] if kind == "end" else rest

    def _spare(self, kind: str, subject: str) -> None:
        rest = self.orders[kind].pop(subject, None)
        if kind == "end" and rest:
            os.close(int(str(rest[0])))

    def settle(self, last: str = LAST) -> list[str]:
        """Do all that was ordered of the kinds up to that one. Returns what could not be done, a line each."""
        failures = []
        for kind in KINDS[: KINDS.index(last) + 1]:
            failures += _DEEDS[kind](self.orders[kind])
            self.forget(kind)
        self._has_failed |= bool(failures)
        if last == LAST and self._record and not self._has_failed:
            with suppress(FileNotFoundError):
                os.unlink(self._record)
        return failures

    def forget(self, kind: str) -> None:
        """Drop the orders of a kind: they are done."""
        for subject in list(self.orders[kind]):
            self._spare(kind, subject)
        while self._held[kind]:
            os.close(self._held[kind].pop())


def end_marked(words: Sequence[str] | dict[str, Rest]) -> list[str]:
    """Kill every process with one of these words in its environment, until there is none."""
    deadline = time.monotonic() + PATIENCE
    for word in words:
        while pids := marked_processes(word):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                return [f"processes {', '.join(map(str, pids))} do not end; kill them by hand"]
    return []


def marked_processes(word: str) -> list[int]:
    """Living processes with that word in their environment, this one left out."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            # Where there is no file it has ended; or it is somebody else's.
            with suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
                if word.encode() in file.read().split(b"\0"):
                    found.append(int(name))
    return found


def _end(processes: dict[str, Rest]) -> list[str]:
    descriptors = {pid: int(str(rest[0])) for pid, rest in processes.items()}
    for descriptor in descriptors.values():
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    return [
        f"process {pid} does not end; kill it by hand"
        for pid, descriptor in descriptors.items()
        if not has_ended(descriptor, max(0.0, deadline - time.monotonic()))
    ]


def has_ended(pidfd: int, patience: float) -> bool:
    """Wait so many seconds at most for a process's end; whether it came."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(int(patience * 1000)))


def set_back(folder: str, first: Writes, then: Writes, patience: float = UNMERGING) -> list[str]:
    """Write all of `first`, again and again while one is refused because pages are merged (EBUSY), then all of `then`.

    Returns a description of each write that failed; the others were done all the same.
    """
    deadline = time.monotonic() + patience
    while True:
        failures = [failure for knob, value in first for failure in _attempt(folder, knob, value)]
        if not any("EBUSY" in failure for failure in failures) or time.monotonic() > deadline:
            break
        time.sleep(0.01)
    return failures + [failure for knob, value in then for failure in _attempt(folder, knob, value)]


def _attempt(folder: str, knob: str, value: str) -> list[str]:
    try:
        _write(folder, knob, value)
    except OSError as error:
        return [f"{knob}={value}: {errno.errorcode.get(error.errno or 0, error.errno)}"]
    return []


def _write(folder: str, knob: str, value: str) -> None:
    descriptor = os.open(os.path.join(folder, knob), os.O_WRONLY | os.O_TRUNC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)


def _set(folders: dict[str, Rest]) -> list[str]:
    return [failure for folder, (first, then) in folders.items() for failure in set_back(folder, first, then)]  # type: ignore[arg-type]


def _write_files(files: dict[str, Rest]) -> list[str]:
    failures = []
    for path, (text,) in files.items():
        try:
            with open(path, "w") as file:
                file.write(str(text))
        except OSError as error:
            failures.append(f"{path}: {error.strerror}; write {text} to it")
    return failures


def _run(commands: dict[str, Rest]) -> list[str]:
    import subprocess

    failures = []
    for remedy, command in commands.items():
        words = [str(word) for word in command]
        try:
            done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=RUNNING)
        except (OSError, subprocess.TimeoutExpired):
            failures.append(remedy)
        else:
            failures += [remedy] if done.returncode else []
    return failures


def _remove(folders: dict[str, Rest]) -> list[str]:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    return [f"{folder} could not be removed; remove it by hand" for folder in folders if os.path.exists(folder)]


_DEEDS: dict[str, Callable[[dict[str, Rest]], list[str]]] = dict(
    zip(KINDS, (end_marked, _end, _set, _write_files, _run, _remove), strict=True)
)


def serve(charge: Charge, connection: socket.socket, owner: int) -> None:
    """Take orders until the socket ends, or the process behind the pidfd `owner` is dead and all is read."""
    poll = select.poll()
    for descriptor in (connection.fileno(), owner):
        poll.register(descriptor, select.POLLIN)
    while connection.fileno() in {descriptor for descriptor, _ in poll.poll()}:
        try:
            data, descriptors, _, _ = socket.recv_fds(connection, _LARGEST, _MOST_DESCRIPTORS)
        except ConnectionResetError:  # the owner has died before it read an answer
            return
        if not data:
            return
        answer = charge.take(json.loads(data), descriptors)
        with suppress(OSError):
            connection.send(json.dumps(answer).encode())


def main() -> int:
    """Guard what is ordered on standard input, a socket; the argument is the owner's pidfd. 1: not all was done."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    charge = Charge()
    serve(charge, socket.socket(fileno=0), int(sys.argv[1]))
    failures = charge.settle()
    for failure in failures:
        sys.stderr.write(f"vmdedup: {failure}\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
