"""What is compared: a run's results, or published figures. Whatever is not known is absent, never zero.

levels  figures as they stood at the end, by their names in result.columns.SERIES or in /sys/kernel/mm/ksm
rows    the series, a row a sample; none if only levels are known
guests  a row a guest, as result.columns.GUESTS declares them; none if not known
run     the run.json; empty for published figures
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vmdedup.result.run import Result
from vmdedup.result.tables import records
from vmdedup.units import PAGE_SIZE, mib

Value = int | float
Row = Mapping[str, Any]

BACKENDS = {
    "emulator": "emulated",
    "kernel": "measured on the kernel's KSM",
    "qemu": "measured on QEMU guests",
    "published": "published",
}


@dataclass(frozen=True)
class Figures:
    """One column of the comparison. certainty: of published figures, how sure they are (stated, read off, …)."""

    label: str
    backend: str
    rows: Sequence[Row] = ()
    guests: Sequence[Row] = ()
    levels: Mapping[str, Value] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)
    page_size: int = PAGE_SIZE
    source: str = ""
    certainty: str = ""

    def end(self, name: str) -> Value | None:
        """A figure at the end, or None if it is not known."""
        return number(self.levels.get(name))

    def total(self, column: str) -> Value | None:
        """The sum of a column over all guests, or None if no guest has it."""
        values = [value for row in self.guests if (value := number(row.get(column))) is not None]
        return sum(values) if values else None

    def mib(self, pages: Value) -> float:
        """MiB in so many of its pages."""
        return mib(float(pages) * self.page_size)

    @property
    def is_measured(self) -> bool:
        """Whether a real kernel did it."""
        return self.backend in ("kernel", "qemu")

    @property
    def seconds(self) -> float:
        """When its last sample was taken, or 0."""
        return float(self.rows[-1]["time_s"]) if self.rows else 0.0


def number(value: object) -> Value | None:
    """A value of a table if it is a number; booleans, text and what is missing are None."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def from_result(result: Result, label: str) -> Figures:
    """The figures of a run. label: how it is called beside others."""
    rows = records(result.series)
    last = rows[-1] if rows else {}
    return Figures(
        label=label,
        backend=str(result.run.get("backend", "emulator")),
        rows=rows,
        guests=records(result.guests),
        levels={name: value for name, each in last.items() if (value := number(each)) is not None},
        run=result.run,
        page_size=int(result.run.get("page_size", PAGE_SIZE)),
    )
