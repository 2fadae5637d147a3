"""The directory of a run: taken when the run begins, filled while it goes on, whole at its end.

    while a run goes on     running.json, and rows as they come: series.jsonl, timing.jsonl, events.jsonl
    at its end              run.json and the tables (see result); the former are gone

A run that is killed leaves what it had written: result.journal reads it, so a crash loses a moment and not the run. The
name is taken by making the directory, so two runs cannot have the same; one that is empty already (a fresh volume) is
used as it is.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import IO, Any, Final

from vmdedup.closing import Closing
from vmdedup.errors import UsageError, VmdedupError
from vmdedup.shown import json_text

RUNS: Final = Path("runs")
RUNNING: Final = "running.json"
JOURNALS: Final = ("series", "timing", "events")
WORTH_KEEPING: Final = 2  # rows of the series: the first is of the moment before anything has happened
_OF_A_VOLUME: Final = {"lost+found"}  # what a fresh file system has
_REMEDY: Final = "choose another directory with --output"


class TakenError(UsageError):
    """A directory for results that is in use, or holds something."""


class RunDirectory(Closing):
    """The directory of one run, from its beginning; a context manager."""

    def __init__(self, path: str | Path, new: bool = False, shared: bool = False) -> None:
        """new: an empty one that is there will not do. shared: what fills it is made by others, who take it themselves.

        TakenError: it holds something, or is being filled. UsageError: it cannot be had.
        """
        self.path = Path(path)
        self.rows = 0  # of the series, on disk
        self.trouble = ""  # why rows no longer go to disk
        self._files: dict[str, IO[bytes]] = {}
        self._whole = False
        above = [folder for folder in self.path.parents if not folder.exists()]
        self._made = _take(self.path, new)
        self._above = above if self._made else []  # folders made with it, the innermost first
        self._claimed = not shared and _claim(self.path)

    def begin(self, run: Mapping[str, Any]) -> None:
        """Say what is run; from now on rows may come. VmdedupError: nothing can be written here."""
        try:
            write_whole(self.path, RUNNING, json_bytes(run))
            for name in JOURNALS:
                self._files[name] = (self.path / f"{name}.jsonl").open("ab", buffering=0)
        except OSError as error:
            raise VmdedupError(write_reason(self.path, error)) from None

    def add(self, name: str, row: Mapping[str, Any]) -> None:
        """One more row of a journal. Where it cannot be written, it is not: the run has it in memory, and goes on."""
        if name not in self._files or self.trouble:
            return
        try:
            self._files[name].write(json.dumps(row).encode() + b"\n")
        except OSError as error:
            self.trouble = write_reason(self.path, error)
            return
        self.rows += name == "series"

    def finish(self, files: Mapping[str, bytes]) -> None:
        """Write the run's files, run.json last: with it the results are there. VmdedupError: none of them is."""
        names = sorted(files, key=lambda name: name == "run.json")
        try:
            for name in names:
                write_whole(self.path, name, files[name])
        except OSError as error:
            for name in names:
                (self.path / name).unlink(missing_ok=True)
            raise VmdedupError(write_reason(self.path, error)) from None
        self._whole = True
        self._drop_journals()

    @property
    def keeps_rows(self) -> bool:
        """Whether there are rows on disk that are worth something, though the run has not finished."""
        return not self._whole and self.rows >= WORTH_KEEPING

    def close(self) -> None:
        """Let go. A directory without results, and without rows worth keeping, is gone afterwards if we made it."""
        if self.keeps_rows:
            self._close_journals()
            return
        self._drop_journals()
        if self._made and not any(self.path.iterdir()):
            self.path.rmdir()
            for folder in self._above:
                with suppress(OSError):  # somebody else uses it by now
                    folder.rmdir()

    def _close_journals(self) -> None:
        for file in self._files.values():
            file.close()
        self._files = {}

    def _drop_journals(self) -> None:
        for name in self._files:
            (self.path / f"{name}.jsonl").unlink(missing_ok=True)
        if self._claimed:
            (self.path / RUNNING).unlink(missing_ok=True)
        self._close_journals()


def json_bytes(document: Mapping[str, Any]) -> bytes:
    """A JSON document as this project writes them: sorted keys, two spaces, one newline at the end."""
    return f"{json_text(document)}\n".encode()


def _claim(path: Path) -> bool:
    """Make the file that says that a run is going on here. TakenError: another run was first."""
    try:
        os.close(os.open(path / RUNNING, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
    except FileExistsError:
        raise TakenError(f"{path} is being filled by another run; {_REMEDY}") from None
    except OSError as error:
        raise UsageError(write_reason(path, error)) from None
    return True


def _take(path: Path, new: bool) -> bool:
    """Make the directory, or find an empty one. Returns whether it was made. UsageError: neither."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir()
    except FileExistsError:
        if new:
            raise TakenError(f"{path} is there already; {_REMEDY}") from None
        _require_empty(path)
        return False
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{path} cannot be made ({reason}); {_REMEDY}") from None
    return True


def _require_empty(path: Path) -> None:
    if path.is_symlink() and not path.exists():
        raise TakenError(f"{path} is a symbolic link to nothing; {_REMEDY}")
    if not path.is_dir():
        raise TakenError(f"{path} is a file; {_REMEDY}")
    try:
        if {entry.name for entry in path.iterdir()} - _OF_A_VOLUME:
            raise TakenError(f"{path} is not empty; {_REMEDY}")
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); {_REMEDY}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise UsageError(f"nothing can be made in {path}; {_REMEDY}")


def write_whole(folder: Path, name: str, content: bytes) -> None:
    """A file of a directory of results, whole under its name or not there. OSError: it cannot be written."""
    partial = folder / f".{name}.partial"
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, folder / name)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_reason(path: Path, error: OSError) -> str:
    """Why results cannot be written, in a line."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left for the results in {path}; free some, or {_REMEDY}"
    return f"the results cannot be written to {path}: {error.strerror}; {_REMEDY}"


def choose_output(name: str, wanted: Path | None, shared: bool = False) -> RunDirectory:
    """The directory for a run's results, taken; without a wish, runs/NAME-DATE-TIME. UsageError: it cannot be had.

    name: of the scenario. shared: it is filled by others, as RunDirectory has it.
    """
    if wanted is not None:
        return RunDirectory(wanted, shared=shared)
    name = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    for number in count(1):  # two runs may start in one second
        with suppress(TakenError):
            return RunDirectory(RUNS / (name if number == 1 else f"{name}-{number}"), new=True, shared=shared)
    raise AssertionError("unreachable: numbers do not end")
