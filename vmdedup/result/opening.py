"""Results read back from a run's directory, or from that of several runs. Nothing there is believed unseen."""

from __future__ import annotations

from pathlib import Path

from vmdedup.errors import UsageError
from vmdedup.result.columncheck import check_columns
from vmdedup.result.decoding import DECODER
from vmdedup.result.foreign import read_tables
from vmdedup.result.journal import is_unfinished, read_journals
from vmdedup.result.reading import read_document
from vmdedup.result.run import TABLES, Result
from vmdedup.result.schema import Policies, Run, checked

POLICIES = "policies.json"


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
    places = [path / f"{name}.parquet" for name in TABLES]
    tables = read_tables(places)
    for table, name, place in zip(tables, TABLES, places, strict=True):
        check_columns(table, name, place)
    return Result(run, *tables)
