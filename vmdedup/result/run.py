"""One run's results, in memory or read back from its directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from vmdedup.errors import UsageError
from vmdedup.result.columncheck import check_columns
from vmdedup.result.decoding import DECODER
from vmdedup.result.directory import RunDirectory, json_bytes
from vmdedup.result.foreign import read_tables
from vmdedup.result.journal import is_unfinished, read_journals
from vmdedup.result.reading import read_document
from vmdedup.result.schema import Policies, Run, checked
from vmdedup.result.summary import summarise
from vmdedup.result.tables import Table, to_parquet
from vmdedup.shown import shown

_TABLES = ("series", "guests", "matrix", "timing")
POLICIES = "policies.json"


@dataclass(frozen=True, eq=False)
class Result:
    """What a run found.

    run: scenario as run, seed, versions, machine, events (run.json).
    series, guests, matrix, timing: polars frames with the columns that result.columns declares.
    """

    run: Mapping[str, Any]
    series: Table
    guests: Table
    matrix: Table
    timing: Table

    def __repr__(self) -> str:
        saved = f"{self.summary['saved_mib']:.1f} MiB saved ({self.summary['saved_percent']:.1f} %)"
        return f"<Result of {self.run['name']!r}: {len(self.guests)} guests, {saved}>"

    def _repr_html_(self) -> str:
        """A notebook's view: what was saved, and by whom."""
        answers = self.summary
        names = ("ended", "guests_alive", "allocated_mib", "used_mib", "saved_mib", "saved_percent", "possible_mib")
        cells = [("scenario", self.run["name"]), ("policy", self.run.get("policy", "ksm"))]
        cells += [(name, answers[name]) for name in names if answers.get(name) is not None]
        rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(_shown(value))}</td></tr>" for name, value in cells)
        return f"<table>{rows}</table>"

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The answers, as `vmdedup run --json` prints them."""
        return summarise(self.run, self.series, self.guests, self.matrix)

    def save(self, path: str | Path) -> Path:
        """Writes a new results directory, whole or not at all. Raises VmdedupError with the reason."""
        with RunDirectory(path) as directory:
            self.save_into(directory)
        return Path(path)

    def save_into(self, directory: RunDirectory) -> None:
        """Fill a directory that was taken for this run. Raises VmdedupError with the reason."""
        files = {"run.json": json_bytes(self.run), "summary.json": json_bytes(self.summary)}
        directory.finish(files | {f"{name}.parquet": to_parquet(getattr(self, name)) for name in _TABLES})


def _shown(value: object) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else shown(str(value))


def open_result(path: str | Path) -> Result:
    """The results in a directory that a run left; of one that was killed, its rows.

    UsageError: it is none, or that of several policies, which it names.
    Nothing in the directory is believed before it was looked at.
    """
    parts = list_parts(path)
    if "" not in parts:
        names = ", ".join(str(part) for part in parts.values())
        raise UsageError(f"{path} holds a run for each of several policies; open one of {names}, or use open_results")
    return _open(parts[""])


def open_results(path: str | Path) -> dict[str, Result]:
    """The results in a directory by policy, in order; those of a single run by "". UsageError: it is no directory."""
    with DECODER:  # one process for all tables
        return {label: _open(part) for label, part in list_parts(path).items()}


def list_parts(path: str | Path) -> dict[str, Path]:
    """The directories of runs that a directory stands for: by policy, or itself by "". UsageError: it is none."""
    path = Path(path)
    try:
        has_run, has_policies = (path / "run.json").exists(), (path / POLICIES).exists()
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if has_run or not has_policies:
        return {"": path}
    document = checked(Policies, read_document(path / POLICIES), path / POLICIES)
    return {str(part["policy"]): path / part["policy"] for part in document["policies"]}


def _open(path: Path) -> Result:
    if is_unfinished(path):
        return Result(*read_journals(path))
    about = path / "run.json"
    if not about.exists():
        raise UsageError(f"{path} is not the directory of a run: it has no run.json")
    run = checked(Run, read_document(about), about)
    places = [path / f"{name}.parquet" for name in _TABLES]
    tables = read_tables(places)
    for table, name, place in zip(tables, _TABLES, places, strict=True):
        check_columns(table, name, place)
    return Result(run, *tables)
