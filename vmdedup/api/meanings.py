"""What columns of results mean, and which policies there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vmdedup.errors import UsageError
from vmdedup.ksm.sysfs import COUNTERS, TUNABLES
from vmdedup.policy.table import POLICIES
from vmdedup.result import columns
from vmdedup.shown import suggest


def explain(column: str) -> str:
    """What a column of a run's tables means, with its unit. UsageError: there is none of that name."""
    known = {name: meaning for table in _tables() for name, meaning in table.items()}
    if column not in known:
        raise UsageError(f"there is no column {column!r}; {suggest(column, known)}")
    return known[column]


def _tables() -> Iterator[Mapping[str, str]]:
    """The later ones say more of what several have."""
    for kind in (COUNTERS, TUNABLES):
        yield {name: f"{each.meaning} ({each.unit})" if each.unit else each.meaning for name, each in kind.items()}
    yield from (columns.TIMING, columns.MATRIX, columns.GUESTS, columns.POLICY)
    yield from (columns.PRESSURE, columns.HUGE, columns.REAL, columns.SERIES)


def policy_names() -> list[str]:
    """The policies that come with vmdedup; a file of your own is named by its path."""
    return list(POLICIES)
