"""What a run that was killed has left: its rows, as they came, made into tables again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from vmdedup.errors import UsageError
from vmdedup.result import columns
from vmdedup.result.columncheck import check_columns
from vmdedup.result.directory import RUNNING
from vmdedup.result.reading import read_document, read_lines
from vmdedup.result.schema import Run, checked
from vmdedup.result.tables import Table, table

KILLED: Final = "killed"


def is_unfinished(path: Path) -> bool:
    """Whether a directory is that of a run that goes on, or that was killed."""
    return not (path / "run.json").exists() and (path / RUNNING).is_file()


def read_journals(path: Path) -> tuple[dict[str, Any], Table, Table, Table, Table]:
    """run.json and the tables, in the order of Result; of guests and pairs nothing is known. UsageError: damaged."""
    about = path / RUNNING
    if not about.stat().st_size:
        raise UsageError(f"{path} is the directory of a run that has taken no row")
    run = read_document(about) | {"ended": KILLED, "events": read_lines(path / "events.jsonl")}
    series = _rows(path / "series.jsonl", "series", columns.SERIES)
    timing = _rows(path / "timing.jsonl", "timing", columns.TIMING)
    guests, matrix = table([], columns.GUESTS), table([], columns.MATRIX)
    return checked(Run, run, about), series, guests, matrix, timing


def _rows(path: Path, name: str, known: dict[str, str]) -> Table:
    try:
        frame = table(read_lines(path), known)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"{path} holds rows that do not belong together ({error}); run again") from None
    if frame.height:
        check_columns(frame, name, path)
    return frame
