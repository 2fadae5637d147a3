"""One case of the drill: a command is started in a folder of its own, disturbed, and looked at when it is over."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from drill_commands import INPUTS, MADE_BY, Command, make_inputs
from leftovers import children, marked, mounts, shared_memory, state, tunables, wait_for_none

from vmdedup.errors import VmdedupError
from vmdedup.ours.passing import Passing
from vmdedup.recording.reader import Recording
from vmdedup.result.directory import RUNNING, WORTH_KEEPING
from vmdedup.result.run import open_result

MARK = "VMDEDUP_DRILL"
PATIENCE = 180.0  # seconds until a command that was disturbed must have ended, however busy the machine is
GRACE = 30.0  # seconds that what it has started may take to end after it
KSM_WAIT = 300.0
TRACES = ("Traceback", "Exception ignored", "Exception in thread")
# Somebody who is looked at, and does nothing: ends when its standard input does.
LOOKED_AT = "import sys; memory = bytearray(range(256)) * 40000; sys.stdin.read()"
Disturb = Callable[["Case"], None]


@dataclass(frozen=True)
class Place:
    """Where a drill happens: a folder with the inputs, a process to look at, and what the machine had before."""

    folder: Path
    pid: int
    shared_memory: set[str]
    mounts: set[str]
    tunables: dict[str, str] | None


@contextmanager
def place(folder: Path, kernel: bool) -> Iterator[Place]:
    """A place for drills, its inputs made. kernel: commands that need the kernel's KSM are among them."""
    make_inputs(folder / "in")
    with subprocess.Popen([sys.executable, "-c", LOOKED_AT], stdin=subprocess.PIPE) as looked_at:
        before = tunables(wait=KSM_WAIT) if kernel else None
        here = Place(folder, looked_at.pid, shared_memory(), mounts(), before)
        (folder / "made").mkdir()
        for words in MADE_BY:
            line = words.format(pid=looked_at.pid).split()
            subprocess.run(
                [sys.executable, "-m", "vmdedup", *line], cwd=folder / "made", check=True, capture_output=True
            )
        yield here
        assert looked_at.stdin is not None
        looked_at.stdin.close()


@dataclass
class Case:
    """One start of a command. faults: what was found to be wrong, in words; none if all is well."""

    command: Command
    place: Place
    dice: random.Random
    redirected: str = ""
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    disturbed: bool = False  # it was there still when it was to be disturbed
    swept: bool = False  # who removes temporary folders was killed with it: the next one does
    status: int = 0
    output: str = ""
    errors: str = ""

    def run(self, disturb: Disturb | None = None, after: float = 0.0) -> Case:
        """Start it, disturb it after so many seconds, wait for its end, and look."""
        self.mark = uuid.uuid4().hex
        self.folder = self.place.folder / self.mark
        self.temporary = self.folder / "tmp"
        self.cwd = self.folder / "cwd"
        self.temporary.mkdir(parents=True)
        self.cwd.mkdir()
        (self.folder / "in").symlink_to(self.place.folder / INPUTS.split("/")[1])
        with (self.folder / "stdout").open("wb") as out, (self.folder / "stderr").open("wb") as err:
            self._start_and_wait(out, err, disturb, after)
        self._look()
        if not self.faults:
            shutil.rmtree(self.folder, ignore_errors=True)
        return self

    def _start_and_wait(self, out: IO[bytes], err: IO[bytes], disturb: Disturb | None, after: float) -> None:
        shell = ["bash", "-c", f'exec "$@" {self.redirected}', "bash"] if self.redirected else []
        line = [*shell, sys.executable, "-m", "vmdedup", *self.command.line(self.place.pid)]
        variables = os.environ | {"TMPDIR": str(self.temporary), MARK: self.mark}
        began = time.monotonic()
        self.process = subprocess.Popen(
            line, cwd=self.cwd, env=variables, stdout=out, stderr=err, stdin=subprocess.DEVNULL, start_new_session=True
        )
        if disturb is not None:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(after)
            self.disturbed = self.process.poll() is None
            if self.disturbed:
                disturb(self)
        try:
            self.status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.faults.append(f"it has not ended: {self._processes()}")
            self._end_all()
            self.status = self.process.wait()
        self.seconds = time.monotonic() - began

    def _processes(self) -> dict[int, str]:
        return marked(self.mark, MARK)

    def _end_all(self) -> None:
        for _ in range(5):
            for pid in self._processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    # Looking

    def _look(self) -> None:
        if left := wait_for_none(self._processes, GRACE):
            self.faults.append(f"processes are left: {left}")
            self._end_all()
        if self.swept:
            self._sweep()
        self._expect_none("TMPDIR has", lambda: sorted(os.listdir(self.temporary)))
        self._expect_none("/dev/shm has", lambda: sorted(shared_memory() - self.place.shared_memory))
        self._expect_none("mounted is", lambda: sorted(mounts() - self.place.mounts))
        self._expect_none("beside outputs is", lambda: [str(path) for path in self.cwd.rglob(".vmdedup-*")])
        self._look_at_the_looked_at()
        self.output = (self.folder / "stdout").read_text(errors="replace")
        self.errors = (self.folder / "stderr").read_text(errors="replace")
        if any(trace in self.errors for trace in TRACES):
            self.faults.append(f"stderr has a traceback: {self.errors}")
        if self.command.kernel and self.place.tunables is not None:
            self._look_at_tunables()
        try:
            self._look_at_results()
        except VmdedupError as error:
            self.faults.append(f"results cannot be read: {error}")

    def _look_at_the_looked_at(self) -> None:
        """Whom it was to look at goes on; others may be looking at the same time, for a moment."""
        if wait_for_none(lambda: ["stopped"] if state(self.place.pid) in "Tt" else [], GRACE):
            self.faults.append("the process that it looked at is stopped")
            os.kill(self.place.pid, signal.SIGCONT)

    def _expect_none(self, what: str, look: Callable[[], list[str]]) -> None:
        if left := wait_for_none(look, GRACE):
            self.faults.append(f"{what} {left}")

    def _sweep(self) -> None:
        """What the next command does with folders that nobody holds, when they are a minute old."""
        for path in self.temporary.iterdir():
            os.utime(path, (time.time() - 120,) * 2)
        Passing(self.temporary).close()

    def _look_at_tunables(self) -> None:
        if self.swept:  # its guardian was killed, too: what was before is on disk, and whoever comes next puts it back
            end, command = time.monotonic() + KSM_WAIT, [sys.executable, "-m", "vmdedup", "live", "restore"]
            while subprocess.run(command, capture_output=True).returncode and time.monotonic() < end:
                time.sleep(1)
        after = tunables(wait=KSM_WAIT)
        if after is None:
            self.faults.append("the kernel's KSM could not be looked at")
        elif after != self.place.tunables:
            self.faults.append(f"tunables were changed: {dict(after.items() - (self.place.tunables or {}).items())}")

    def _look_at_results(self) -> None:
        if self.command.makes == "run":
            for folder in {path.parent for path in self.cwd.rglob("*.json*")}:
                self._look_at_run(folder)
        elif self.command.makes == "recording" and (file := self.cwd / "out.rec").exists():
            self._look_at_recording(file)

    def _look_at_run(self, folder: Path) -> None:
        journal = folder / "series.jsonl"
        rows = journal.read_bytes().count(b"\n") if journal.exists() else 0
        if (folder / "run.json").exists() or ((folder / RUNNING).exists() and rows >= WORTH_KEEPING):
            found = open_result(folder).series.height
            if found < max(rows, 1):
                self.faults.append(f"{folder.name} had {rows} rows, and {found} are read")

    def _look_at_recording(self, file: Path) -> None:
        """Every step that is told of can be read, to the last page."""
        try:
            recording = Recording(file)
        except VmdedupError:
            if file.stat().st_size > 40 << 20:  # more than a step: the first one is whole
                raise
            return
        with recording:
            for step in range(len(recording.steps)):
                recording.state(0, step)
            if not self.disturbed and not self.redirected and len(recording.steps) != 8:
                self.faults.append(f"the recording has {len(recording.steps)} steps")


# Disturbing


def kill_command(case: Case) -> None:
    """Kill the command's own process."""
    case.process.kill()


def kill_another(case: Case) -> None:
    """Kill one of the processes that it has started: a worker, its fork server, who watches over it."""
    others = sorted(set(case._processes()) - {case.process.pid})
    if not others:
        case.process.kill()
        return
    case.swept = True  # it may be who removes the folder
    with suppress(ProcessLookupError):
        os.kill(case.dice.choice(others), signal.SIGKILL)


def kill_with_watchers(case: Case) -> None:
    """Kill the command, and at once all that it has started itself: guardian, janitors, fork server."""
    case.swept = True
    for pid in [case.process.pid, *children(case.process.pid)]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def kill_everything(case: Case) -> None:
    """Kill all processes of it, as a container that is stopped."""
    case.swept = True
    case._end_all()


KILLS: tuple[Disturb, ...] = (
    *(kill_command,) * 5,
    *(kill_another,) * 2,
    *(kill_with_watchers,) * 2,
    kill_everything,
)


def send(number: signal.Signals, whole_group: bool) -> Disturb:
    """Send a signal to the command, or, as a terminal does, to all of its group."""

    def disturb(case: Case) -> None:
        with suppress(ProcessLookupError):
            os.killpg(case.process.pid, number) if whole_group else os.kill(case.process.pid, number)

    return disturb
