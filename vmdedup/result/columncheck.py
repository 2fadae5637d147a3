"""What the tables of a run must have before anybody reckons with them: columns, their types, numbers that are such."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from vmdedup.errors import UsageError
from vmdedup.result import columns
from vmdedup.result.tables import Table, column_problem

TEXT: Final = frozenset({"guest", "group", "state", "guest_a", "guest_b"})
# What nobody can know in some runs: of the kernel's, or after who scans has broken down.
UNKNOWN: Final = frozenset({"cow_breaks", *(name for name in columns.GUESTS if name.startswith("ksm_"))})
_NEEDED: Final[Mapping[str, Collection[str]]] = {
    "series": tuple(columns.SERIES),
    "guests": tuple(columns.GUESTS),
    "matrix": tuple(columns.MATRIX),
    "timing": (),
}
_FORMS: Final = "storage_frames"  # whoever has it has all of columns.POLICY


def check_columns(frame: Table, name: str, path: Path) -> None:
    """name: series, guests, matrix or timing. UsageError: what the table lacks, or has that cannot be."""
    needed = [*_NEEDED[name], *(columns.POLICY if name == "series" and _FORMS in frame.columns else ())]
    if missing := [column for column in needed if column not in frame.columns]:
        raise UsageError(f"{path} is not a table of a run: it has no column {missing[0]}")
    for column in frame.columns:
        if problem := column_problem(frame, column, column in TEXT, column in UNKNOWN):
            raise UsageError(f"{path} is not a table of a run: column {column[:100]} {problem}")
