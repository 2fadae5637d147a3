"""One run's results, in memory or read back from its directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vmdedup.result.directory import json_bytes, read_json, write_directory
from vmdedup.result.summary import summarise
from vmdedup.result.tables import Table, read_parquet, to_parquet

_TABLES = ("series", "guests", "matrix", "timing")


@dataclass(frozen=True)
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

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The answers, as `vmdedup run --json` prints them."""
        return summarise(self.run, self.series, self.guests, self.matrix)

    def save(self, path: str | Path) -> Path:
        """Writes the results directory, whole or not at all. Raises VmdedupError with the reason."""
        path = Path(path)
        files = {"run.json": json_bytes(self.run), "summary.json": json_bytes(self.summary)}
        files |= {f"{name}.parquet": to_parquet(getattr(self, name)) for name in _TABLES}
        write_directory(path, files)
        return path


def open_result(path: str | Path) -> Result:
    """The results in a directory that a run left. Raises UsageError if it is none."""
    path = Path(path)
    return Result(read_json(path / "run.json"), *(read_parquet(path / f"{name}.parquet") for name in _TABLES))
