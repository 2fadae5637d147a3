"""What memory dumps hold, on a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vmdedup.page.charts import bar_chart, matrix_chart
from vmdedup.page.document import escaped
from vmdedup.page.tables import table
from vmdedup.report.scan import FIGURES, content_text


def scan_parts(label: str, document: Mapping[str, Any]) -> Iterator[str]:
    """All of it. document: what vmdedup scan --json prints."""
    total, dumps = document["total"], document["dumps"]
    percent = 100 * total["sharing"] / max(1, total["read"])
    yield f"<h2>Scan {escaped(label)}</h2><p class='answer'>{escaped(_sentence(document, percent))}</p>"
    parts = ("zero", "within a dump", "between dumps")
    sizes = [total[f"saved_{part}_mib"] for part in ("zero", "within", "between")]
    yield bar_chart("What sharing equal pages would save", parts, {"all together": sizes}, "MiB")
    rows = [(each["name"], each["format"], *(each[name] for name in FIGURES), each["saved_mib"]) for each in dumps]
    yield table(("dump", "format", *FIGURES, "saved MiB"), rows, texts=2)
    pairs = {(row["dumps"][0], row["dumps"][1]): float(row["saved_mib"]) for row in document["matrix"]}
    yield matrix_chart("Who shares with whom", [each["name"] for each in dumps], pairs, "MiB")
    if document["top"]:
        top = [(content_text(each), each["copies"]) for each in document["top"]]
        yield "<h3>Most frequent contents</h3>" + table(("content", "copies"), top)


def _sentence(document: Mapping[str, Any], percent: float) -> str:
    total = document["total"]
    return (
        f"{len(document['dumps'])} dumps of {total['pages']:,} pages: sharing whole equal pages saves "
        f"{total['saved_mib']:,.1f} MiB ({percent:.1f} %); {total['distinct']:,} contents are distinct."
    )
