"""A run of ansible-playbook: started, followed line by line, ended with all that it started."""

from __future__ import annotations

import signal
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from vmdedup.errors import EnvironmentLacksError, UsageError, VmdedupError
from vmdedup.live.guardian.program import end_marked
from vmdedup.live.provision.events import Record
from vmdedup.live.provision.lines import lines_of
from vmdedup.ours import child

MARK = "VMDEDUP_ANSIBLE"  # in the environment of everything that a run starts
_PATIENCE = 15.0  # seconds for an interrupted run to end by itself
Heard = Callable[[str], None]


def playbook_folder() -> Path:
    """The folder ansible/ of this installation. UsageError: it is not there."""
    package = Path(__file__).resolve().parents[2]
    for folder in (package.parent / "ansible", package / "share" / "ansible"):
        if (folder / "ansible.cfg").is_file():
            return folder
    raise UsageError(f"no folder ansible/ beside {package}; install vmdedup again")


def find_ansible() -> str:
    """The program ansible-playbook, of this Python's environment first. EnvironmentLacksError: it is not there."""
    beside = Path(sys.executable).parent / "ansible-playbook"
    found = str(beside) if beside.is_file() else child.find("ansible-playbook")
    if found is None:
        raise EnvironmentLacksError("ansible-playbook is missing; pip install 'vmdedup[ansible]', or use --direct")
    return found


class Ansible:
    """ansible-playbook for one run's directory: inventory, sockets and temporary files are in there."""

    def __init__(self, directory: Path, program: str, log: Path, heard: Heard = lambda line: None) -> None:
        """heard: told what goes on, a line each."""
        self.directory = directory
        self.log = log
        self._program = program
        self._heard = heard
        self._mark = uuid.uuid4().hex

    def play(self, books: Sequence[str], wanted: Callable[[], bool] = lambda: True, *more: str) -> Record:
        """Play playbooks by name, one after another; more: further arguments.

        wanted: asked all the time; when it says no, the run is ended, with everything that it has started, and
        KeyboardInterrupt raised. VmdedupError: a task failed; says which, where, why, and where the log is.
        """
        record = Record()
        folder = playbook_folder()
        command = [self._program, "-i", str(self.directory / "inventory.json"), *more]
        command += [str(folder / "playbooks" / f"{book}.yml") for book in books]
        with self.log.open("a") as log:
            log.write(f"{time.strftime('%H:%M:%S')} $ {' '.join(command)}\n")
            process = self._start(command, folder, log)
            try:
                self._follow(process, record, log, wanted)
            finally:
                self._end(process)
        self._judge(process.returncode, record)
        return record

    @property
    def word(self) -> str:
        """What everything that is started here has in its environment."""
        return f"{MARK}={self._mark}"

    def end_leftovers(self) -> None:
        """Kill what runs of this directory have left: modules of a run that was ended, SSH masters."""
        end_marked([self.word])

    def environment(self) -> Mapping[str, str]:
        """What ansible-playbook has more in its environment: everything that it writes goes into the directory."""
        home = self.directory / "ansible"
        return {
            MARK: self._mark,
            "LC_ALL": "C.UTF-8",
            "PYTHONWARNINGS": "ignore",
            "ANSIBLE_CONFIG": str(playbook_folder() / "ansible.cfg"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.jsonl",
            "ANSIBLE_HOME": str(home),
            "ANSIBLE_LOCAL_TEMP": str(home / "tmp"),
            "ANSIBLE_REMOTE_TEMP": str(home / "tmp"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(home / "cp"),
        }

    def _start(self, command: Sequence[str], folder: Path, log: IO[str]) -> child.Process[str]:
        """In a session of its own, so that Ctrl-C comes to us alone."""
        return child.start(
            command,
            cwd=folder,
            variables=self.environment(),
            stdin=child.DEVNULL,
            stdout=child.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )

    def _follow(self, process: child.Process[str], record: Record, log: IO[str], wanted: Callable[[], bool]) -> None:
        assert process.stdout is not None
        for line in lines_of(process.stdout):
            if not wanted():
                raise KeyboardInterrupt
            if line and (text := record.take(line)) is not None:
                log.write(f"{time.strftime('%H:%M:%S')} {text}\n")
                log.flush()
                self._heard(text)
        process.wait()

    def _end(self, process: child.Process[str]) -> None:
        """Have a run that still goes on end: politely first, then all of it."""
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_PATIENCE)
            except child.TimeoutExpired:
                process.kill()
            self.end_leftovers()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _judge(self, status: int, record: Record) -> None:
        if not status:
            return
        if record.failures:
            first = record.failures[0]
            others = f" (and on {len(record.failures) - 1} more)" if len(record.failures) > 1 else ""
            raise VmdedupError(f"{first.task}: {first.host}{others}: {first.reason}; the log is {self.log}")
        raise VmdedupError(f"ansible-playbook ended with status {status}; the log is {self.log}: {self._last()}")

    def _last(self) -> str:
        """The last line of the log that says something."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return next((line for line in reversed(lines) if "ERROR" in line or "rror" in line), lines[-1])
