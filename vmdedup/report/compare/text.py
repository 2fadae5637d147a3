"""The comparison as text: figures at the end, savings over time, reasons. Reads the document only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from vmdedup.report.compare.alignment import thinned
from vmdedup.report.compare.figures import BACKENDS
from vmdedup.report.console import print_parts
from vmdedup.units import mib

Document = Mapping[str, Any]

MOST_MOMENTS: Final = 12  # rows of the table over time; the document has all
UNKNOWN: Final = "–"
_HEADINGS = {
    "savings": "savings at the end, MiB",
    "memory": "memory, MiB",
    "counters": "counters at the end",
    "times": "seconds until so many per cent of what was possible were saved",
    "cost": "cost",
}


def render(document: Document, console: Console) -> None:
    """Print the comparison to the console."""
    print_parts(console, _parts(document))


def _parts(document: Document) -> Iterator[RenderableType]:
    for number, run in enumerate(document["runs"], start=1):
        yield Text(f"{number}. {run['label']}: {_origin(run)}", style="bold")
    for group, heading in _HEADINGS.items():
        figures = [figure for figure in document["figures"] if figure["group"] == group]
        if figures:
            yield ""
            yield _figures(document, figures, heading)
    yield from _over_time(document)
    yield from _reasons(document)


def _origin(run: Document) -> str:
    words = [str(BACKENDS.get(run["backend"], run["backend"]))]
    if run["source"]:
        words.append(f"{run['source']} ({run['certainty']})")
    if run["guests"]:
        words.append(f"{run['guests']} guests")
    if run["seconds"] is not None:
        words.append(f"{run['samples']} samples in {run['seconds']:g} s")
    return ", ".join(words)


def _figures(document: Document, figures: Sequence[Document], heading: str) -> Table:
    """A row a figure, a column a run, and how far each is from the first."""
    table = _table(heading, document)
    for figure in figures:
        cells = [_shown(figure, value, run) for value, run in zip(figure["values"], document["runs"], strict=True)]
        table.add_row(_word(figure["name"]), *_woven(cells, figure["percent"]))
    return table


def _table(heading: str, document: Document) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="cyan")
    table.add_column(heading)
    for number, run in enumerate(document["runs"]):
        table.add_column(run["label"], justify="right")
        if number:
            table.add_column("%", justify="right", no_wrap=True)
    return table


def _woven(cells: Sequence[str], percents: Sequence[float | None]) -> Iterator[str]:
    """The first run's cell; then of each other run its cell and its difference."""
    for number, (cell, percent) in enumerate(zip(cells, percents, strict=True)):
        yield cell
        if number:
            yield UNKNOWN if percent is None else f"{percent + 0.0:+.2f}"


def _word(name: str) -> str:
    """A figure's name as people read it; counters keep the kernel's name."""
    if name.startswith("seconds_to_"):
        return f"{name.split('_')[2]} %"
    if name.endswith("_pages") and name != "ksm_zero_pages":
        return name.removesuffix("_pages").replace("_", " ")
    return name.replace("_", " ") if name in ("cow_breaks", "scanned_per_saved_page") else name


def _shown(figure: Document, value: float | None, run: Document) -> str:
    if value is None:
        return UNKNOWN
    if figure["group"] in ("savings", "memory"):
        return f"{mib(value * run['page_size']):,.1f}"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _over_time(document: Document) -> Iterator[RenderableType]:
    """Savings at a few moments, and where the difference is widest."""
    if not document["series"]:
        return
    is_time = document["by"] == "time"
    table = _table("saved MiB after s" if is_time else "saved MiB after full scans", document)
    for moment in thinned(document["series"], MOST_MOMENTS):
        cells = [_saved(row, run) for row, run in zip(moment["runs"], document["runs"], strict=True)]
        table.add_row(f"{moment['at']:g}", *_woven(cells, moment["saved_percent"]))
    yield ""
    yield table
    for widest in document["widest"]:
        if widest["name"] == "saved_pages" and widest["difference"]:
            yield Text(_widest(document, widest), style="dim")


def _saved(row: Document | None, run: Document) -> str:
    saved = None if row is None else row.get("saved_pages")
    return UNKNOWN if saved is None else f"{mib(saved * run['page_size']):,.1f}"


def _widest(document: Document, widest: Document) -> str:
    run = document["runs"][widest["run"]]
    size = mib(widest["difference"] * run["page_size"])
    percent = "" if widest["percent"] is None else f" ({widest['percent']:+.2f} %)"
    at = f"at {widest['at']:g} s" if document["by"] == "time" else f"after {plural(widest['at'], 'full scan')}"
    return f"{run['label']} is farthest from {document['runs'][0]['label']} {at}: {size:+,.1f} MiB{percent}"


def plural(count: int, word: str) -> str:
    """A count with its word: 1 page, 1,200 pages."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _reasons(document: Document) -> Iterator[RenderableType]:
    first = document["runs"][0]["label"]
    for entry in document["reasons"]:
        label = document["runs"][entry["run"]]["label"]
        yield ""
        if not entry["found"]:
            yield Text(f"why {label} differs from {first}: the data show no reason", style="cyan")
            continue
        yield Text(f"why {label} differs from {first}, as far as the data show it", style="cyan")
        for reason in entry["found"]:
            pages = f" [{plural(reason['pages'], 'page')}]" if reason["pages"] is not None else ""
            yield Padding(Text(f"- {reason['text']}{pages}"), (0, 0, 0, 2))
