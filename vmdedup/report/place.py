"""Plans of placement, for people: a line an algorithm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.text import Text

from vmdedup.report.console import print_parts
from vmdedup.report.fitted import fitted
from vmdedup.units import MIB, format_size

COLUMNS: Final = {
    "placed": ("guests placed", ",d"),
    "hosts_needed": ("hosts needed", ",d"),
    "promised_mib": ("promised MiB", ",.1f"),
    "delivered_mib": ("delivered MiB", ",.1f"),
    "delivered_percent": ("of promised %", ".1f"),
    "seconds_to_90_percent": ("90 % after s", ",.1f"),
    "over_mib": ("over at peak MiB", ",.1f"),
    "migrations": ("moves", ",d"),
    "migrated_mib": ("moved MiB", ",.0f"),
    "migration_seconds": ("moving s", ",.1f"),
    "seconds": ("placing s", ",.2f"),
}
_MOST_NAMES: Final = 5


def render(document: Mapping[str, Any], console: Console) -> None:
    """Print it to the console. document: see place.answer."""
    print_parts(console, parts(document, console.width))


def parts(document: Mapping[str, Any], width: int) -> Iterator[RenderableType]:
    """What is printed, part by part; width: of the console, in letters."""
    memory, host = (format_size(round(document[key] * MIB)) for key in ("memory_mib", "host_memory_mib"))
    there = "" if document["hosts"] is None else f", of which there are {document['hosts']:,}"
    yield Text(f"{document['guests']:,} guests of {memory} on hosts of {host}{there}", style="bold")
    yield Text(f"without any sharing: {document['hosts_without_sharing']:,} hosts; moved from {document['moved_from']}")
    if document["sampling_error"] is not None:
        error = 100 * document["sampling_error"]
        yield Text(f"one content of {document['one_content_of']:,} kept: a guest's figures are off by {error:.2g} %")
    yield ""
    plans = document["plans"]
    shown = [name for name in COLUMNS if any(plan.get(name) is not None for plan in plans)]
    cells = [(COLUMNS[name][0], [_cell(plan, name) for plan in plans]) for name in shown]
    yield from fitted("algorithm", [plan["algorithm"] for plan in plans], cells, width)
    for plan in plans:
        yield from _remarks(plan)


def _cell(plan: Mapping[str, Any], name: str) -> str:
    value = plan.get(name)
    return "-" if value is None else format(value, COLUMNS[name][1])


def _remarks(plan: Mapping[str, Any]) -> Iterator[RenderableType]:
    if plan["note"]:
        yield Text(f"{plan['algorithm']}: {plan['note']}", style="dim")
    if left := plan["unplaced"]:
        more = f" and {len(left) - _MOST_NAMES:,} more" if len(left) > _MOST_NAMES else ""
        yield Text(f"{plan['algorithm']}: no room for {', '.join(left[:_MOST_NAMES])}{more}")
    for reason in dict.fromkeys(host["reason"] for host in plan["hosts"] if host.get("reason")):
        yield Text(f"{plan['algorithm']}: a host was not emulated to its end: {reason}")
