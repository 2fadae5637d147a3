"""One run's results. result.opening reads them back from a directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

from vmdedup.result.directory import RunDirectory, json_bytes
from vmdedup.result.summary import summarise
from vmdedup.result.tables import Table, to_parquet
from vmdedup.shown import shown

TABLES = ("series", "guests", "matrix", "timing")


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
        """A notebook's view: what was saved, and by whom, with the charts of `vmdedup report`."""
        from vmdedup.page.charts import framed_style
        from vmdedup.result.charts import matrix, savings, sources

        answers = self.summary
        names = ("ended", "guests_alive", "allocated_mib", "used_mib", "saved_mib", "saved_percent", "possible_mib")
        cells = [("scenario", self.run["name"]), ("policy", self.run.get("policy", "ksm"))]
        cells += [(name, answers[name]) for name in names if answers.get(name) is not None]
        rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(_shown(value))}</td></tr>" for name, value in cells)
        drawn = "".join((savings({"": self}), sources({"": self}), matrix(str(self.run["name"]), self)))
        return f"<style>{framed_style()}</style><div class='vmdedup'><table>{rows}</table>{drawn}</div>"

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
        directory.finish(files | {f"{name}.parquet": to_parquet(getattr(self, name)) for name in TABLES})


def _shown(value: object) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else shown(str(value))
