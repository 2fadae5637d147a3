"""The first process of a namespace in which an emulated host is this host: mounts its files, starts a program, waits.

    python -m vmdedup.guise.stage SOCKET        started by guise.visit; all else comes over the socket

It gathers what the program leaves behind, and has a process for each guest, and one for ksmd, for programs to find.
When the program and all that it has started are gone, it ends with the program's exit status; so it does, having told
all of them to end, when the run is over.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from vmdedup.guise.answers import Far
from vmdedup.guise.namespace import bind
from vmdedup.guise.plain import EVERY_S, PlainFiles
from vmdedup.ours import child
from vmdedup.signals import ENDING

_LOOK_S: Final = 0.05
_PATIENCE_S: Final = 3.0  # for programs that were told to end
_KSM, _MEMINFO = "sys/kernel/mm/ksm", "proc/meminfo"
LACKS: Final = 125  # exit status where the files cannot be put in place; as env(1) and others have it


class Stage:
    """Who stands for whom in the namespace. root: where the host's files are."""

    def __init__(self, answers: Far, root: Path, plain: PlainFiles | None) -> None:
        self._answers, self._root, self._plain = answers, root, plain
        self._stand_ins: dict[int, int] = {}  # number to process id
        self._keep: list[child.Process[Any]] = []

    def set(self) -> None:
        """Put the host's files in place of this one's."""
        target = Path("/", _KSM)
        if target.is_dir():
            bind(self._root / _KSM, target)
        else:
            bind(self._root / _KSM.rpartition("/")[0], target.parent)
        bind(self._root / _MEMINFO, Path("/", _MEMINFO))
        self.follow()

    def follow(self) -> None:
        """Have a process for each that there is now, and none for those that are gone."""
        if self._plain is not None:
            self._plain.refresh()
        _, there = self._answers.list()
        for number in self._stand_ins.keys() - there.keys():
            with suppress(ProcessLookupError):
                os.kill(self._stand_ins.pop(number), signal.SIGKILL)
        for number in sorted(there.keys() - self._stand_ins.keys()):
            self._begin(number)

    def _begin(self, number: int) -> None:
        process = child.start(["sleep", "infinity"], stdin=child.DEVNULL, stdout=child.DEVNULL, stderr=child.DEVNULL)
        self._keep.append(process)
        self._stand_ins[number] = process.pid
        self._answers.name_process(number, process.pid)
        if self._plain is not None:
            self._plain.refresh()
        files, _ = self._answers.list()
        for path in files:
            if path.startswith(f"proc/{process.pid}/") and Path("/", path).exists():
                bind(self._root / path, Path("/", path))

    def is_alone(self) -> bool:
        """Whether there is nobody but us and those who stand for others."""
        known = {os.getpid(), *self._stand_ins.values()}
        return not {int(name) for name in os.listdir("/proc") if name.isdigit()} - known

    def gather(self) -> dict[int, int]:
        """Processes that have ended: exit statuses by process id."""
        ended = {}
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                ended[found[0]] = os.waitstatus_to_exitcode(found[1])
        return ended


def perform(stage: Stage, command: list[str], environment: dict[str, str]) -> int:
    """Start the program and wait until all is over. Returns its exit status, as a shell has it."""
    program = child.foreign(command, environment)
    status, looked = None, 0.0
    while status is None or not stage.is_alone():
        ended = stage.gather()
        if program.pid in ended:
            program.returncode = status = ended[program.pid]
        if time.monotonic() - looked > EVERY_S / 2:
            looked = time.monotonic()
            try:
                stage.follow()
            except OSError:  # the run is over
                return _end_all(stage, program, status)
        time.sleep(_LOOK_S)
    return _shown(status)


def _end_all(stage: Stage, program: child.Process[bytes], status: int | None) -> int:
    """Tell everybody to end; what does not goes with this process."""
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGTERM)
    until = time.monotonic() + _PATIENCE_S
    while status is None and time.monotonic() < until:
        status = stage.gather().get(program.pid)
        time.sleep(_LOOK_S)
    program.returncode = status if status is not None else -signal.SIGKILL
    return _shown(program.returncode)


def _shown(status: int) -> int:
    return status if status >= 0 else 128 - status


def main() -> int:
    """The whole life of the process."""
    for number in ENDING:  # the run's business; a handler, unlike SIG_IGN, is not handed on
        signal.signal(number, lambda *_: None)
    answers = Far(socket.socket(fileno=int(sys.argv[1])))
    root, plain, command, environment = answers.ask("orders")
    try:
        files = PlainFiles(answers, Path(root)) if plain else None
        if files is None:
            from vmdedup.guise.fuse import Mount

            Mount(answers, Path(root), allow_other=True)
        else:
            files.refresh()
        stage = Stage(answers, Path(root), files)
        stage.set()
    except OSError as error:
        answers.ask("failed", str(error))
        return LACKS
    return perform(stage, command, environment)


if __name__ == "__main__":
    status = main()
    os._exit(status)  # the thread that serves files waits for ever
