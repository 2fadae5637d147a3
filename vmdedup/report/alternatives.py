"""The table after a run of several alternatives, from its document (result.alternatives) only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from vmdedup.report.console import print_parts
from vmdedup.report.fitted import fitted

Document = Mapping[str, Any]
_COLUMNS: Sequence[tuple[str, Callable[[Document], Any], str]] = (
    ("shared MiB", lambda each: each["shared_saved_mib"], ",.1f"),
    ("used MiB", lambda each: each["used_mib"], ",.1f"),
    ("peak MiB", lambda each: each["peak_used_mib"], ",.1f"),
    ("in swap MiB", lambda each: each["swap_used_mib"], ",.1f"),
    ("stored MiB", lambda each: each["swap_stored_mib"], ",.1f"),
    ("waiting %", lambda each: each["waiting_percent"], ".2f"),
    ("some %", lambda each: each["memory_some_percent"], ".2f"),
    ("ksmd CPU s", lambda each: each["cpu_seconds"], ".2f"),
    ("killed", lambda each: each["oom_kills"], "d"),
)


def render(document: Document, console: Console) -> None:
    """Print the table to the console."""
    print_parts(console, parts(document, console.width))


def parts(document: Document, width: int) -> Iterator[RenderableType]:
    """What is printed, part by part; width: of the console, in letters."""
    runs = document["alternatives"]
    ended = "" if document["ended"] == "complete" else f" ({document['ended']})"
    yield Text(
        f"{document['scenario']}: {len(runs)} of {len(document['wanted'])} alternatives{ended}, "
        f"{document['clock']} clock, seed {document['seed']}",
        style="bold",
    )
    yield ""
    names = [each["alternative"] + ("" if each["ended"] == "complete" else f" ({each['ended']})") for each in runs]
    cells = [(heading, [_cell(value(each), form) for each in runs]) for heading, value, form in _COLUMNS]
    yield from fitted("alternative", names, cells, width)
    yield Text(
        "shared: saved by sharing pages; used, in swap: at the end; waiting: share of guests' time lost to waiting for "
        "memory; some: of the run's time with some guest waiting; ksmd CPU: modelled, or measured (wall)",
        style="dim",
    )
    if lines := list(_kills(runs)):
        yield ""
        yield from (Text(line) for line in lines)


def _kills(runs: Sequence[Document]) -> Iterator[str]:
    for each in runs:
        for kill in each["killed"] or ():
            swapped = f", {kill['swapped_mib']:,.1f} MiB in swap" if kill["swapped_mib"] else ""
            yield (
                f"{each['alternative']}: {kill['name']} was killed after {kill['seconds']:g} s, "
                f"{kill['resident_mib']:,.1f} MiB resident{swapped}"
            )


def _cell(value: Any, form: str) -> str:
    return "-" if value is None else format(value, form)
