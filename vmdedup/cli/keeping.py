"""Results are kept before they are shown: whatever becomes of stdout, they are on disk, and the user is told where."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vmdedup.cli.say import say, warn
from vmdedup.errors import VmdedupError

if TYPE_CHECKING:
    from vmdedup.result.directory import RunDirectory
    from vmdedup.result.run import Result

# How a run ended, and what is said before the directory of its results; then it has failed.
ENDS = {
    "interrupted": "interrupted; the results so far are in",
    "host memory exhausted": (
        "host memory is exhausted; give the host more memory, or run fewer guests; the results so far are in"
    ),
    "scanner broke down": "who scans has broken down; mend it, and run again; the results so far are in",
    "no guest survived": "no guest survived; the results so far are in",
}


@contextmanager
def kept_first(result: Result, directory: RunDirectory) -> Iterator[None]:
    """Keep the results, then do what is inside: show them. If they cannot be kept, they are at least shown."""
    try:
        result.save_into(directory)
    except VmdedupError:
        yield
        raise
    yield


@contextmanager
def said_where(ended: str, path: Path, quiet: bool) -> Iterator[None]:
    """Say where the results are, if they are, after what is inside has shown them, or failed to show them."""
    try:
        yield
    finally:
        kept = any((path / name).exists() for name in ("run.json", "policies.json", "alternatives.json"))
        if kept and (ended in ENDS or not quiet):
            say(f"{ENDS.get(ended, 'results:')} {path}", err=True)


@contextmanager
def kept_rows(directory: RunDirectory) -> Iterator[None]:
    """If the run inside fails, or is ended at once, say where its rows so far are, if there are any."""
    try:
        yield
    except BaseException:
        if directory.keeps_rows:
            warn(f"the rows so far are in {directory.path}; vmdedup compare and open_result read them")
        raise
