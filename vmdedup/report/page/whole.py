"""The page: what was found at the top, then runs, sweeps and scans."""

from __future__ import annotations

from collections.abc import Iterator

from vmdedup.errors import UsageError
from vmdedup.page.charts import chart_script, chart_style
from vmdedup.page.document import escaped, page
from vmdedup.report.page.reading import Found
from vmdedup.report.page.runs import headline, run_parts
from vmdedup.report.page.scans import scan_parts
from vmdedup.report.page.sweeps import sweep_parts


def report_page(found: Found, command: str) -> str:
    """The HTML document. command: what made it. UsageError: there is nothing to show."""
    if not (found.runs or found.sweeps or found.scans):
        raise UsageError("there is nothing to show; give the results directory of a run")
    title = ", ".join(_names(found))
    body = "\n".join(_parts(found, title, command))
    return page(f"{title}: vmdedup", body, chart_style(), chart_script())


def _names(found: Found) -> Iterator[str]:
    yield from dict.fromkeys(str(result.run["name"]) for result in found.runs.values())
    yield from (str(about["scenario"]) for _, about, _ in found.sweeps)
    yield from (f"scan {name.rpartition('/')[2]}" for name in found.scans)


def _parts(found: Found, title: str, command: str) -> Iterator[str]:
    yield f"<header><h1>{escaped(title)}</h1></header>\n<main>"
    if found.runs:
        yield f'<p class="answer">{escaped(headline(found.runs))}</p>'
        yield from run_parts(found.runs)
    for label, about, rows in found.sweeps:
        yield from sweep_parts(label, about, rows)
    for label, document in found.scans.items():
        yield from scan_parts(label, document)
    yield f'</main>\n<footer class="soft"><p>Made by <code>{escaped(command)}</code></p></footer>'
