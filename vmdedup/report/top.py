"""A look of `vmdedup top` on a terminal. Reads its document only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

Document = Mapping[str, Any]

MOST_PAIRS: Final = 6
_PAGES: Final = ("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile", "ksm_zero_pages")
_COLUMNS: Final = {
    "name": "guest",
    "ram_mib": "RAM",
    "resident_mib": "resident",
    "merged_mib": "merged",
    "zero_mib": "zero",
    "other_zeros_mib": "other zeros",
    "huge_pages": "huge pages",
    "profit_mib": "profit",
}


def top_view(document: Document, sort: str, rows: int, hint: str = "") -> RenderableType:
    """What is shown. sort: of a guest's fields, by which they stand in order. rows: of guests, at most."""
    return Group(*_parts(document, sort, rows, hint))


def _parts(document: Document, sort: str, rows: int, hint: str) -> Iterator[RenderableType]:
    ksm = document["ksm"]
    yield Text(
        f"{document['host']} host at {document['time_s']:,.1f} s, {len(document['guests'])} guests", style="bold"
    )
    yield Text(_ksmd(document))
    yield Text(", ".join(f"{name} {ksm[name]:,}" for name in _PAGES if name in ksm))
    huge = ", ".join(f"{name} {value:,}" for name, value in document["huge"].items())
    if document["freed_by_splits_mib"] is not None:
        huge += f", freed by splits {document['freed_by_splits_mib']:,.1f} MiB"
    if huge:
        yield Text(f"huge pages: {huge.removeprefix(', ')}")
    yield _table(document, sort, rows)
    for pair in document["pairs"][:MOST_PAIRS]:
        yield Text(f"{pair['guests'][0]} and {pair['guests'][1]} have {pair['shared_mib']:,.1f} MiB in common")
    if document["pairs"]:
        yield Text(f"frames looked at for that: {document['frames_sampled']}", style="dim")
    if hint:
        yield Text(hint, style="dim")


def _ksmd(document: Document) -> str:
    """How it is set, and how fast it is."""
    ksm = document["ksm"]
    run, batch, rest = (ksm.get(name, "?") for name in ("run", "pages_to_scan", "sleep_millisecs"))
    rate, cpu = _some(document["rates"]["pages_scanned_per_s"], ",.0f"), _some(document["ksmd_cpu_percent"], ".1f")
    scans = f"a pass {_some(document['pass_s'], ',.1f')} s, {ksm.get('full_scans', 0):,} so far"
    return f"ksmd: run {run}, {batch} pages, then {rest} ms; {rate} pages/s, CPU {cpu} %, {scans}"


def _table(document: Document, sort: str, rows: int) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="cyan")
    for name, heading in _COLUMNS.items():
        table.add_column(f"{heading} ▼" if name == sort else heading, justify="left" if name == "name" else "right")
    for guest in sorted_guests(document, sort)[:rows]:
        table.add_row(guest["name"], *(_some(guest[name], ",.1f") for name in _COLUMNS if name != "name"))
    return table


def sorted_guests(document: Document, sort: str) -> list[Document]:
    """The largest first; by name, as names go."""
    if sort == "name":
        return sorted(document["guests"], key=lambda guest: str(guest["name"]))
    return sorted(document["guests"], key=lambda guest: -float(guest[sort] or 0))


def _some(value: float | None, form: str) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:{form}}"
