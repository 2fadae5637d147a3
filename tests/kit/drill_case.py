"""One case of the drill: a command is started in a folder of its own, disturbed, and looked at when it is over."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from kit.drill_commands import INPUTS, MADE_BY, Command, make_inputs
from kit.leftovers import children, held_by_others, marked, mounts, shared_memory, state, tunables, wait_for_none
from vmdedup.errors import VmdedupError
from vmdedup.ours.passing import Passing
from vmdedup.recording.reader import Recording
from vmdedup.result.directory import RUNNING, WORTH_KEEPING
from vmdedup.result.opening import open_result

MARK = "VMDEDUP_DRILL"
PATIENCE = 180.0  # seconds until a command that was disturbed must have ended, however busy the machine is
GRACE = 30.0  # seconds that what it has started may take to end after it
KSM_WAIT = 900.0  # seconds that others may have the kernel's KSM to themselves
TRACES = ("Traceback", "Exception ignored", "Exception in thread")


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def _is_claim(path: Path) -> bool:
    """Empty as it is, it says that a run has taken the directory."""
    return path.name == RUNNING and not path.stat().st_size


# By the ending of a file's name: whether its bytes are all there.
WHOLE: dict[str, Callable[[bytes], bool]] = {
    ".json": _is_json,
    ".parquet": lambda content: content.endswith(b"PAR1"),
    ".png": lambda content: content.endswith(b"IEND\xaeB`\x82"),
    ".svg": lambda content: content.rstrip().endswith(b"</svg>"),
}
# Somebody who is looked at, and does nothing: ends when its standard input does.
LOOKED_AT = "import sys; memory = bytearray(range(256)) * 40000; sys.stdin.read()"
Disturb = Callable[["Case"], None]
# What can be wrong: processes are left (or paused, or do not end), names in /dev/shm, temporary folders, mounts;
# tunables of KSM differ; files are left half-written, or results cannot be read; a status or a message is not as it
# must be; a traceback.
KINDS = ("processes", "/dev/shm", "folders", "mounts", "knobs", "files", "statuses", "tracebacks")


@dataclass(frozen=True)
class Place:
    """Where a drill happens: a folder with the inputs, and what the machine had before."""

    folder: Path
    shared_memory: set[str]
    mounts: set[str]
    tunables: dict[str, str] | None


@contextmanager
def place(folder: Path, kernel: bool, made_by: Sequence[str] = MADE_BY) -> Iterator[Place]:
    """A place for drills, its inputs made. kernel: commands that need the kernel's KSM are among them."""
    make_inputs(folder / "in")
    before = tunables(wait=KSM_WAIT) if kernel else None
    here = Place(folder, shared_memory(), mounts(), before)
    (folder / "made").mkdir()
    with looked_at() as pid:
        for words in made_by:
            line = [sys.executable, "-m", "vmdedup", *words.format(pid=pid).split()]
            subprocess.run(line, cwd=folder / "made", check=True, capture_output=True)
    yield here


@contextmanager
def looked_at() -> Iterator[int]:
    """A process to look at."""
    with subprocess.Popen([sys.executable, "-c", LOOKED_AT], stdin=subprocess.PIPE) as process:
        yield process.pid
        assert process.stdin is not None
        process.stdin.close()


class Fault(NamedTuple):
    """Something that is wrong: of which of the KINDS, and in words."""

    kind: str
    what: str


@dataclass
class Case:
    """One start of a command. faults: what was found to be wrong; none if all is well."""

    command: Command
    place: Place
    dice: random.Random
    redirected: str = ""
    faults: list[Fault] = field(default_factory=list)
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
        with looked_at() if self.command.looks else nullcontext(0) as self.pid:
            with (self.folder / "stdout").open("wb") as out, (self.folder / "stderr").open("wb") as err:
                self._start_and_wait(out, err, disturb, after)
            self._look()
        if not self.faults:
            shutil.rmtree(self.folder, ignore_errors=True)
        return self

    def _start_and_wait(self, out: IO[bytes], err: IO[bytes], disturb: Disturb | None, after: float) -> None:
        shell = ["bash", "-c", f'exec "$@" {self.redirected}', "bash"] if self.redirected else []
        line = [*shell, sys.executable, "-m", "vmdedup", *self.command.line(self.pid)]
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
            self.wrong("processes", f"it has not ended: {self._processes()}")
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

    def wrong(self, kind: str, what: str) -> None:
        """Something is."""
        self.faults.append(Fault(kind, what))

    def _look(self) -> None:
        if left := wait_for_none(self._processes, GRACE):
            self.wrong("processes", f"processes are left: {left}")
            self._end_all()
        self._look_at_the_looked_at()
        if self.swept:
            self._sweep()
        self._expect_none("folders", "TMPDIR has", lambda: sorted(os.listdir(self.temporary)))
        self._expect_none("/dev/shm", "/dev/shm has", self._shared_memory)
        self._expect_none("mounts", "mounted is", lambda: sorted(mounts() - self.place.mounts))
        self._expect_none("files", "beside outputs is", lambda: [str(path) for path in self.cwd.rglob(".vmdedup-*")])
        self.output = (self.folder / "stdout").read_text(errors="replace")
        self.errors = (self.folder / "stderr").read_text(errors="replace")
        if any(trace in self.errors for trace in TRACES):
            self.wrong("tracebacks", f"stderr has a traceback: {self.errors}")
        if self.command.kernel and self.place.tunables is not None:
            self._look_at_tunables()
        try:
            self._look_at_results()
        except VmdedupError as error:
            self.wrong("files", f"results cannot be read: {error}")

    def _look_at_the_looked_at(self) -> None:
        """Whom it was to look at goes on."""
        if self.pid and wait_for_none(lambda: ["stopped"] if state(self.pid) in "TtX" else [], GRACE):
            self.wrong("processes", f"the process that it looked at is in state {state(self.pid)}")
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGCONT)

    def _shared_memory(self) -> list[str]:
        """Names that were not there before, and that no other case and no other program holds."""
        new = shared_memory() - self.place.shared_memory
        return sorted(new - held_by_others(self.mark, MARK)) if new else []

    def _expect_none(self, kind: str, what: str, look: Callable[[], list[str]]) -> None:
        if left := wait_for_none(look, GRACE):
            self.wrong(kind, f"{what} {left}")

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
            self.wrong("knobs", "the kernel's KSM could not be looked at")
        elif after != self.place.tunables:
            changed = dict(after.items() - (self.place.tunables or {}).items())
            self.wrong("knobs", f"tunables were changed: {changed}")

    def _look_at_results(self) -> None:
        for path in self.cwd.rglob("*"):
            if path.suffix in WHOLE and not WHOLE[path.suffix](path.read_bytes()) and not _is_claim(path):
                self.wrong("files", f"{path.name} is not whole")
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
                self.wrong("files", f"{folder.name} had {rows} rows, and {found} are read")

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
                self.wrong("files", f"the recording has {len(recording.steps)} steps")


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
