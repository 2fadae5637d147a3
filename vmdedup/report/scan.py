"""The text after a scan: what the dumps hold, what sharing would save, who shares with whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from vmdedup.report.console import console, print_parts
from vmdedup.scan.result import ScanResult

Document = Mapping[str, Any]

MOST_COLUMNS = 12  # dumps in the matrix
SHOWN_PLACES = 2  # dumps named for each of the most frequent contents
FIGURES = ("pages", "absent", "zero", "distinct", "shared", "sharing")


def show(result: ScanResult, no_color: bool = False) -> None:
    """Print the result on stdout."""
    render(result.document, console(no_color, to_stdout=True))


def render(document: Document, target: Console) -> None:
    """Print the document of a scan to the console."""
    print_parts(target, _parts(document))


def _parts(document: Document) -> Iterator[RenderableType]:
    total = document["total"]
    yield Text(_title(document), style="bold")
    yield ""
    yield _answers(document)
    yield ""
    yield _dumps(document)
    yield Text("pages; each dump alone, then all together; zeros count as one content", style="dim")
    if len(document["dumps"]) > 1 and total["sharing_between"]:
        yield ""
        yield from _matrix(document)
    if document["top"]:
        yield ""
        yield _top(document["top"])
    if document["subpage"]:
        yield ""
        yield _subpage(document["subpage"])


def _title(document: Document) -> str:
    total, dumps = document["total"], len(document["dumps"])
    title = f"{dumps} dump{'s' * (dumps != 1)}, {total['pages']:,} pages, {_mib(total['pages'] / 256)}"
    if document["partial"]:
        title += f" (partial: {total['read']:,} pages read)"
    return title


def _answers(document: Document) -> Table:
    """Two columns: a word, and the figures for it."""
    total = document["total"]
    percent = 100 * total["sharing"] / max(1, total["read"])
    table = _grid()
    table.add_row("saved", f"{_mib(total['saved_mib'])} ({percent:.1f} %) by sharing whole pages, as many as are equal")
    table.add_row(
        "of it",
        f"{_mib(total['saved_zero_mib'])} zero, {_mib(total['saved_within_mib'])} within a dump, "
        f"{_mib(total['saved_between_mib'])} between dumps",
    )
    _add_frames(table, document)
    table.add_row("contents", f"{total['distinct']:,} distinct, {total['shared']:,} of them shared")
    if document["salt_id"]:
        table.add_row("salt", f"id {document['salt_id']}")
    return table


def _add_frames(table: Table, document: Document) -> None:
    """Of live processes: what is one frame already, what could be saved beyond that, what is no memory at all."""
    total = document["total"]
    frames = total["frames"]
    if frames:
        ways = (("fork", "by fork"), ("file", "by files"), ("ksm", "by KSM"))
        parts = ", ".join(f"{frames[f'sharing_{way}_mib']:,.1f} {text}" for way, text in ways)
        table.add_row("already", f"{_mib(frames['sharing_already_mib'])} of it is one frame now: {parts}")
        beyond = f"{_mib(frames['left_mib'])} beyond that; {_mib(frames['left_anonymous_mib'])} if anonymous memory"
        table.add_row("left", f"{beyond} alone is merged, as by KSM")
    elif any(dump["format"] == "process" for dump in document["dumps"]):
        table.add_row("already", "not known what is one frame now; run as root")
    if total["reserved"]:
        table.add_row("reserved", f"{total['reserved']:,} pages of addresses hold nothing; they are not counted")


def _dumps(document: Document) -> Table:
    table = _table("dump", "format", *FIGURES, "saved MiB", "zero MiB")
    rows = [(dump["name"], dump["format"], dump) for dump in document["dumps"]]
    if len(rows) > 1:
        rows.append(("total", "", document["total"]))
    for name, kind, row in rows:
        sizes = (f"{row['saved_mib']:,.1f}", f"{row['saved_zero_mib']:,.1f}")
        table.add_row(name, kind, *(f"{row[figure]:,}" for figure in FIGURES), *sizes)
    return table


def _matrix(document: Document) -> Iterator[RenderableType]:
    """A triangle; of many dumps, the pairs that have most in common."""
    names = [dump["name"] for dump in document["dumps"]]
    pairs = {tuple(row["dumps"]): row["saved_mib"] for row in document["matrix"]}
    if len(names) > MOST_COLUMNS:
        table = _table("shares", "with", "MiB")
        for (one, two), size in sorted(pairs.items(), key=lambda pair: -pair[1])[:MOST_COLUMNS]:
            table.add_row(one, two, f"{size:,.1f}")
    else:
        table = _table("shares with", *names[:-1])
        for at, name in enumerate(names[1:], start=1):
            table.add_row(name, *(f"{pairs[other, name]:,.1f}" for other in names[:at]))
    yield table
    yield Text("MiB of contents that both have, zeros left out", style="dim")


def _top(entries: Sequence[Document]) -> Table:
    table = _table("copies", "content", "where")
    table.columns[1].justify = table.columns[2].justify = "left"
    for entry in entries:
        table.add_row(f"{entry['copies']:,}", content_text(entry), _places(entry["dumps"]))
    return table


def content_text(entry: Document) -> str:
    """What a content is, in short."""
    if entry["kind"] == "fill":
        return f"0x{entry['begins']} all over"
    return f"{entry['begins']}…" if entry["kind"] == "data" else str(entry["kind"])


def _places(places: Sequence[Document]) -> str:
    """Where it stands first, in the dumps that have most of it."""
    most = sorted(places, key=lambda place: -place["copies"])
    texts = [
        f"{place['copies']:,}× {place['name']}" + ("" if place["page"] is None else f" from page {place['page']:#x}")
        for place in most[:SHOWN_PLACES]
    ]
    return ", ".join(texts) + (", …" if len(most) > SHOWN_PLACES else "")


def _subpage(found: Document) -> RenderableType:
    """What is left to be had when whole pages are shared."""
    detector, table = found["detector"], _grid()
    estimated = "" if found["sample"] == 1 else f" (estimated from {100 * found['sample']:g} % of them)"
    table.add_row("left", f"{found['pages']:,} contents, {_mib(found['pages'] / 256)}, once whole pages are shared")
    table.add_row(
        "patches",
        f"{_mib(found['patching']['saved_mib'])} more: {found['patching']['pages']:,} similar pages as patches of "
        f"{found['patching']['mean_bytes']:,.0f} bytes on average{estimated}",
    )
    for codec in ("lz4", "zstd"):
        sizes = found[codec]
        table.add_row(
            codec, f"{_mib(sizes['saved_mib'])} more by packing all; after patches {_mib(sizes['saved_rest_mib'])}"
        )
    settings = f"({detector['k']},{detector['s']}),{detector['c']}, {detector['bits']} bits, seed {detector['seed']}"
    return Group(table, Text(f"similar pages by Difference Engine's detector {settings}", style="dim"))


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column()
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="cyan")
    for at, heading in enumerate(headings):
        table.add_column(heading, justify="right" if at else "left", overflow="fold" if not at else "ellipsis")
    return table


def _mib(size: float) -> str:
    return f"{size:,.1f} MiB"
