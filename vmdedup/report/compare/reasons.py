"""All who look for a reason why two runs differ."""

from __future__ import annotations

from collections.abc import Sequence

from vmdedup.report.compare import reasons_ksm, reasons_memory, reasons_run
from vmdedup.report.compare.figures import Figures
from vmdedup.report.compare.reason import Finder, Reason


def find_reasons(first: Figures, other: Figures) -> list[Reason]:
    """Every reason that the data of two runs show; those with the most pages first, then as they were found."""
    finders: Sequence[Finder] = (*reasons_memory.FINDERS, *reasons_ksm.FINDERS, *reasons_run.FINDERS)
    found = [reason for finder in finders for reason in finder(first, other)]
    return sorted(found, key=lambda reason: -(reason.pages or 0))
