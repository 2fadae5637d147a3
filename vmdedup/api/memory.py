"""The memory of live guests and of dumps, over time in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vmdedup.errors import UsageError
from vmdedup.recording.record import Outcome, record, steps_of
from vmdedup.recording.sources import find_sources
from vmdedup.units import parse_duration


def record_memory(
    sources: str | Sequence[str],
    path: str | Path,
    interval: str = "1s",
    steps: int | None = None,
    pause: bool = False,
    force: bool = False,
) -> Outcome:
    """Record snapshots, which guests of a scenario can live (`replay`), and `vmdedup scan` can count.

    sources: pid:N, domain:NAME, dumps, NAME=DUMP1,DUMP2,… one or several. steps: None: ten of live guests, else all
    dumps. pause: live processes stand still while they are looked at. force: replace whatever is at path.
    Raises VmdedupError; whole steps are kept even then.
    """
    between = parse_duration(interval)
    if not between:
        raise UsageError("an interval of 0 will not do; give for example 500ms")
    found = find_sources([sources] if isinstance(sources, str) else list(sources))
    return record(found, Path(path), between, steps_of(found, steps), pause, lambda step, name: None, force)
